"""SASRec: a causal transformer over item histories (arXiv 1808.09781)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel, initialization
from transformers.utils import ModelOutput

from .configuration_sasrec import SASRecConfig

# The repeat bias is learned in this unit: scores run over tens, and one step of Adam moves a parameter by 0.001.
REPEAT_SCALE = 10.0


@dataclass
class SASRecOutput(ModelOutput):
    """Output of [`SASRecModel`].

    Args:
        loss: float (), mean cross-entropy per labelled position; ``None`` without labels.
        last_hidden_state: float (batch, length, hidden_size), after the final norm.
    """

    loss: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None


class SASRecBlock(nn.Module):
    """Pre-norm causal self-attention and feed-forward layer."""

    def __init__(self, config: SASRecConfig):
        super().__init__()
        self.num_heads, self.dropout = config.num_attention_heads, config.hidden_dropout
        self.attention_norm = nn.LayerNorm(config.hidden_size)
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.attention_output = nn.Linear(config.hidden_size, config.hidden_size)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size)
        self.up = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """float (batch, length, hidden_size) -> the same shape."""
        batch, length, width = hidden.shape
        qkv = self.qkv(self.attention_norm(hidden)).view(batch, length, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        mixed = self.attention_output(mixed.transpose(1, 2).reshape(batch, length, width))
        hidden = hidden + F.dropout(mixed, self.dropout, self.training)
        inner = self.down(F.gelu(self.up(self.feed_forward_norm(hidden))))
        return hidden + F.dropout(inner, self.dropout, self.training)


def _contained(items: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """bool (n, m), whether each of items int64 (m,) stands in each of rows int64 (n, k).

    By binary search: comparing all with all would take n * m * k.
    """
    unique, inverse = torch.unique(items, return_inverse=True)
    place = torch.searchsorted(unique, rows).clamp_max(len(unique) - 1)
    place = torch.where(unique[place] == rows, place, len(unique))
    found = torch.zeros(len(rows), len(unique) + 1, dtype=torch.bool, device=rows.device)
    return found.scatter_(1, place, True)[:, inverse]


class SASRecPreTrainedModel(PreTrainedModel):
    config_class = SASRecConfig
    base_model_prefix = "sasrec"
    main_input_name = "input_ids"
    _no_split_modules = ["SASRecBlock"]

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            initialization.normal_(module.weight, std=self.config.initializer_range)
            if getattr(module, "bias", None) is not None:
                initialization.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            initialization.ones_(module.weight)
            initialization.zeros_(module.bias)
        if isinstance(module, SASRecModel):
            initialization.zeros_(module.item_counts)
            if module.repeat_bias is not None:
                initialization.zeros_(module.repeat_bias)


class SASRecModel(SASRecPreTrainedModel):
    """Scores of all items after a history of item rows.

    Histories are padded on the *right* with ``num_items`` (any value outside the catalogue): under causal attention no
    item sees what comes after it, so neither an attention mask nor work on masks is needed.

    Example:

    ```python
    >>> model = SASRecModel(SASRecConfig(num_items=12101))
    >>> hidden = model(input_ids=histories).last_hidden_state   # float (batch, length, hidden_size)
    >>> scores = model.item_scores(hidden[:, -1])               # float (batch, num_items)
    ```
    """

    def __init__(self, config: SASRecConfig):
        super().__init__(config)
        self.item_embeddings = nn.Embedding(config.num_items + 1, config.hidden_size, padding_idx=config.num_items)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.layers = nn.ModuleList(SASRecBlock(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.repeat_bias = nn.Parameter(torch.zeros(())) if config.repeat_bias else None
        # How often each item was a target in training: what in-batch negatives are drawn by.
        self.register_buffer("item_counts", torch.zeros(config.num_items), persistent=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.item_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.item_embeddings = value

    @torch.no_grad()
    def set_item_counts(self, counts: torch.Tensor) -> None:
        """Tell how often each item is a target, (num_items,); needed for in-batch negatives with logQ correction."""
        self.item_counts.copy_(counts)

    def forward(
        self,
        input_ids: torch.LongTensor,
        labels: torch.LongTensor | None = None,
        return_dict: bool | None = None,
        **kwargs,
    ) -> SASRecOutput | tuple:
        """Encode histories; with labels, the training loss.

        Args:
            input_ids: int64 (batch, length) item rows, right-padded with ``num_items``; length at most
                ``max_position_embeddings``.
            labels: int64 (batch, length), the item row that follows each position, -100 where there is none.
        """
        length = input_ids.shape[1]
        if length > self.config.max_position_embeddings:
            raise ValueError(f"histories of {length} items: at most {self.config.max_position_embeddings} are read")
        positions = self.position_embeddings.weight[:length]
        hidden = self.item_embeddings(input_ids) * math.sqrt(self.config.hidden_size) + positions
        hidden = F.dropout(hidden, self.config.hidden_dropout, self.training)
        for layer in self.layers:
            hidden = layer(hidden)
        hidden = self.norm(hidden)
        loss = None
        if labels is not None:
            labelled = labels != -100
            loss = self.next_item_loss(
                hidden[labelled], labels[labelled], self._seen(input_ids)[labelled], kwargs.get("num_items_in_batch")
            )
        output = SASRecOutput(loss=loss, last_hidden_state=hidden)
        return output if return_dict in (None, True) else output.to_tuple()

    def item_vectors(self, item_rows: torch.Tensor | None = None) -> torch.Tensor:
        """What states are multiplied with, float (m, hidden_size): of items int64 (m,), or of all.

        Of unit length when scores are cosines.
        """
        table = self.item_embeddings.weight
        weight = table[:-1] if item_rows is None else F.embedding(item_rows, table)
        return F.normalize(weight, dim=-1) if self.config.cosine_scores else weight

    def item_scores(self, hidden: torch.Tensor, item_rows: torch.Tensor | None = None) -> torch.Tensor:
        """Scores of items after each state.

        Args:
            hidden: float (n, hidden_size). item_rows: int64 (m,), which items; ``None``: all.

        Returns:
            float (n, m) or (n, num_items).
        """
        if self.config.cosine_scores:
            hidden = F.normalize(hidden, dim=-1) / self.config.score_temperature
        return hidden @ self.item_vectors(item_rows).T

    def user_vectors(self, input_ids: torch.LongTensor) -> torch.Tensor:
        """State after each history, float (batch, hidden_size).

        Args:
            input_ids: int64 (batch, length), right-padded item rows, oldest first; the latest
                ``max_position_embeddings`` are read. An empty history has the state of the padding item.
        """
        length = self.config.max_position_embeddings
        counts = (input_ids != self.config.num_items).sum(1)
        if input_ids.shape[1] > length:
            first = (counts - length).clamp_min(0).unsqueeze(1)
            input_ids = input_ids.gather(1, first + torch.arange(length, device=input_ids.device))
            counts = counts.clamp_max(length)
        hidden = self(input_ids).last_hidden_state
        last = (counts - 1).clamp_min(0).view(-1, 1, 1).expand(-1, 1, hidden.shape[-1])
        return hidden.gather(1, last).squeeze(1)

    def score_histories(self, input_ids: torch.LongTensor, user_rows: torch.LongTensor | None = None) -> torch.Tensor:
        """Scores of the whole catalogue after each history, float (batch, num_items).

        Args:
            input_ids: see `user_vectors`. user_rows: not used, SASRec knows users by their histories only.
        """
        return self._add_repeat_bias(self.item_scores(self.user_vectors(input_ids)), input_ids)

    def _seen(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Items up to each position, int64 (batch, length, length), ``num_items`` elsewhere."""
        later = torch.ones(2 * (input_ids.shape[1],), dtype=torch.bool, device=input_ids.device).triu(1)
        return input_ids.unsqueeze(1).masked_fill(later, self.config.num_items)

    def _add_repeat_bias(self, scores: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Scores (n, num_items) with the bias at the items of ``seen``, int64 (n, m), padded with ``num_items``."""
        if self.repeat_bias is None:
            return scores
        if not torch.is_grad_enabled():  # an item that occurs twice is written twice, with the same score
            padded = F.pad(scores, (0, 1))
            return padded.scatter_(1, seen, padded.gather(1, seen) + REPEAT_SCALE * self.repeat_bias)[:, :-1]
        marked = torch.zeros(len(scores), self.config.num_items + 1, device=scores.device, dtype=scores.dtype)
        return scores + marked.scatter_(1, seen, 1.0)[:, :-1] * (REPEAT_SCALE * self.repeat_bias)

    def next_item_loss(
        self,
        hidden: torch.Tensor,
        targets: torch.Tensor,
        seen: torch.Tensor,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Cross-entropy of the targets, per target; while evaluated over the whole catalogue, whatever the loss.

        Args:
            hidden: float (n, hidden_size). targets: int64 (n,).
            seen: int64 (n, m), items of the history, padded with ``num_items``.
            num_items_in_batch: divide by this many targets (of an accumulated, distributed batch) instead of n.
        """
        total = max(len(targets), 1) if num_items_in_batch is None else num_items_in_batch
        if self.config.loss == "full_softmax" or not self.training:
            scores = self._add_repeat_bias(self.item_scores(hidden), seen)
            return F.cross_entropy(scores.float(), targets, reduction="sum") / total
        in_batch = self.config.negatives == "in_batch"
        if in_batch:
            negatives = targets
        else:
            negatives = torch.randint(self.config.num_items, (self.config.num_negatives,), device=targets.device)
        scores = self.item_scores(hidden, negatives).float()
        own = self._candidate_scores(hidden, targets.unsqueeze(1)).squeeze(1)
        if self.config.logq_correction:
            scores = scores - self._expected_log_counts(negatives, len(negatives), in_batch)
        # A negative that is the target itself would be pushed away from where it belongs.
        barred = negatives == targets.unsqueeze(1)
        if self.repeat_bias is not None:
            bias = REPEAT_SCALE * self.repeat_bias
            again = seen == targets.unsqueeze(1)
            own = own + bias * again.any(1)
            # Each item of the history is one certain candidate, so the sample must not hold it once more.
            known = torch.where(again | self._repeated(seen), self.config.num_items, seen)
            history = self._candidate_scores(hidden, known) + bias
            history = history.masked_fill(known == self.config.num_items, -torch.inf)
            barred = barred | _contained(negatives, seen)
            scores = torch.cat([scores.masked_fill(barred, -torch.inf), history], dim=1)
        else:
            scores = scores.masked_fill(barred, -torch.inf)
        return (torch.logaddexp(own, scores.logsumexp(-1)) - own).sum() / total

    def _repeated(self, seen: torch.Tensor) -> torch.Tensor:
        """bool (n, m), where an item stands in a row for the second time or later."""
        order = seen.argsort(dim=1, stable=True)
        ranked = seen.gather(1, order)
        again = F.pad(ranked[:, 1:] == ranked[:, :-1], (1, 0))
        return torch.zeros_like(again).scatter_(1, order, again)

    def _candidate_scores(self, hidden: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Scores float (n, m) of items int64 (n, m), each after its own state; padding scores anything."""
        if self.config.cosine_scores:
            hidden = F.normalize(hidden, dim=-1) / self.config.score_temperature
        return torch.einsum("nd,nmd->nm", hidden, self.item_vectors(items)).float()

    def _expected_log_counts(self, items: torch.Tensor, draws: int, in_batch: bool) -> torch.Tensor:
        """log of how often each item is expected among the draws, float (m,)."""
        if not in_batch:
            return torch.full(items.shape, math.log(draws / self.config.num_items), device=items.device)
        counts = self.item_counts.clamp_min(1.0)
        return torch.log(counts[items] * (draws / counts.sum()))


SASRecConfig.register_for_auto_class()
SASRecModel.register_for_auto_class("AutoModel")

__all__ = ["SASRecModel", "SASRecOutput", "SASRecPreTrainedModel"]
