"""SASRec: a causal transformer over item histories (arXiv 1808.09781)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel, initialization
from transformers.utils.generic import ModelOutput

from .configuration_sasrec import SASRecConfig

# The repeat bias is learned in this unit: scores have a range of tens, and one step of Adam moves a parameter by 0.001.
REPEAT_SCALE = 10.0


@dataclass
class SASRecOutput(ModelOutput):
    """Output of [`SASRecModel`].

    Args:
        loss: float (), mean cross-entropy per labelled position; ``None`` without labels.
        last_hidden_state: float (batch, length, hidden_size), the hidden states after the final norm.
    """

    loss: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None


class SASRecBlock(nn.Module):
    """Pre-norm causal self-attention and feed-forward layer.

    Args:
        config: sizes and dropout.
    """

    def __init__(self, config: SASRecConfig):
        super().__init__()
        self.num_heads, self.dropout = config.num_attention_heads, config.hidden_dropout
        inner = config.intermediate_size or config.hidden_size
        self.attention_norm = nn.LayerNorm(config.hidden_size)
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.attention_output = nn.Linear(config.hidden_size, config.hidden_size)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size)
        self.up = nn.Linear(config.hidden_size, inner)
        self.down = nn.Linear(inner, config.hidden_size)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Apply the block to float (batch, length, hidden_size); the shape stays the same."""
        batch, length, width = hidden.shape
        qkv = self.qkv(self.attention_norm(hidden)).view(batch, length, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        mixed = self.attention_output(mixed.transpose(1, 2).reshape(batch, length, width))
        hidden = hidden + F.dropout(mixed, self.dropout, self.training)
        inner = self.down(F.gelu(self.up(self.feed_forward_norm(hidden))))
        return hidden + F.dropout(inner, self.dropout, self.training)


def _contained(items: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Test which of items, int64 (m,), are in each of rows, int64 (n, k); bool (n, m).

    A binary search: comparing all pairs would take n * m * k numbers.
    """
    unique, inverse = torch.unique(items, return_inverse=True)
    place = torch.searchsorted(unique, rows).clamp_max(len(unique) - 1)
    place = torch.where(unique[place] == rows, place, len(unique))
    contained = torch.zeros(len(rows), len(unique) + 1, dtype=torch.bool, device=rows.device)
    return contained.scatter_(1, place, True)[:, inverse]


class SASRecPreTrainedModel(PreTrainedModel):
    """Base class with the initial weights of SASRec."""

    config_class = SASRecConfig
    base_model_prefix = "sasrec"
    main_input_name = "input_ids"
    _no_split_modules = ["SASRecBlock"]

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            initialization.normal_(module.weight, std=self.config.initializer_range)
            bias = getattr(module, "bias", None)
            if bias is not None:
                initialization.zeros_(bias)
        elif isinstance(module, nn.LayerNorm):
            initialization.ones_(module.weight)
            initialization.zeros_(module.bias)
        if isinstance(module, SASRecModel):
            initialization.zeros_(module.item_counts)
            if module.repeat_bias is not None:
                initialization.zeros_(module.repeat_bias)


class SASRecModel(SASRecPreTrainedModel):
    """Scores all items after a history of item rows.

    Histories are padded on the *right* with ``num_items`` (one more than the last item row). With causal attention no
    item attends to the padding after it, so no attention mask is needed.

    Args:
        config: a [`SASRecConfig`].

    Example:

    ```python
    >>> model = SASRecModel(SASRecConfig(num_items=12101))
    >>> hidden = model(input_ids=histories).last_hidden_state   # float (batch, length, hidden_size)
    >>> scores = model.item_scores(hidden[:, -1])               # float (batch, num_items)
    ```
    """

    item_counts: torch.Tensor

    def __init__(self, config: SASRecConfig):
        super().__init__(config)
        self.item_embeddings = nn.Embedding(config.num_items + 1, config.hidden_size, padding_idx=config.num_items)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.layers = nn.ModuleList(SASRecBlock(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.repeat_bias = nn.Parameter(torch.zeros(())) if config.repeat_bias else None
        # How often each item is a target in training, which is proportional to its probability as in-batch negative.
        self.register_buffer("item_counts", torch.zeros(config.num_items), persistent=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.item_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.item_embeddings = value

    @torch.no_grad()
    def set_item_counts(self, counts: torch.Tensor) -> None:
        """Set how often each item is a target, which the logQ correction of in-batch negatives needs.

        Args:
            counts: (num_items,), number of training positions with each item as target.
        """
        self.item_counts.copy_(counts)

    def forward(
        self,
        input_ids: torch.Tensor,
        labels: torch.Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs,
    ) -> SASRecOutput | tuple:
        """Encode histories and, with labels, compute the training loss.

        Args:
            input_ids: int64 (batch, length), item rows, right-padded with ``num_items``; length at most
                ``max_position_embeddings``.
            labels: int64 (batch, length), the item row that follows each position, -100 where there is none; ``None``:
                no loss is computed.
            return_dict: ``False``: return a tuple instead of a [`SASRecOutput`].
            kwargs: ``num_items_in_batch``, see `next_item_loss`; others are ignored.
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
        """Vectors with which hidden states are multiplied to give scores; of unit length if scores are cosines.

        Args:
            item_rows: int64 (...), the items; ``None``: all items.

        Returns:
            float (..., hidden_size) or (num_items, hidden_size).
        """
        table = self.item_embeddings.weight
        weight = table[:-1] if item_rows is None else F.embedding(item_rows, table)
        return F.normalize(weight, dim=-1) if self.config.cosine_scores else weight

    def item_scores(self, hidden: torch.Tensor, item_rows: torch.Tensor | None = None) -> torch.Tensor:
        """Scores of items for each hidden state.

        Args:
            hidden: float (n, hidden_size).
            item_rows: int64 (m,), the items to score; ``None``: all items.

        Returns:
            float (n, m) or (n, num_items).
        """
        if self.config.cosine_scores:
            hidden = F.normalize(hidden, dim=-1) / self.config.score_temperature
        return hidden @ self.item_vectors(item_rows).T

    def user_vectors(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Hidden state after each history.

        Args:
            input_ids: int64 (batch, length), item rows, oldest first, right-padded with ``num_items``; the latest
                ``max_position_embeddings`` are read. An empty history has the state of the padding item.

        Returns:
            float (batch, hidden_size).
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

    def score_histories(self, input_ids: torch.Tensor, user_rows: torch.Tensor | None = None) -> torch.Tensor:
        """Scores of all items after each history.

        Args:
            input_ids: int64 (batch, length), item rows, oldest first, right-padded with ``num_items``.
            user_rows: not used: SASRec has no vectors of users, only their histories.

        Returns:
            float (batch, num_items).
        """
        return self._add_repeat_bias(self.item_scores(self.user_vectors(input_ids)), input_ids)

    def _seen(self, input_ids: torch.Tensor) -> torch.Tensor:
        """The items up to each position, int64 (batch, length, length), ``num_items`` elsewhere."""
        later = torch.ones(2 * (input_ids.shape[1],), dtype=torch.bool, device=input_ids.device).triu(1)
        return input_ids.unsqueeze(1).masked_fill(later, self.config.num_items)

    def _add_repeat_bias(self, scores: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Add the bias to the scores (n, num_items) of the items ``seen``, int64 (n, m), padded with ``num_items``."""
        if self.repeat_bias is None:
            return scores
        if not torch.is_grad_enabled():  # an item that occurs twice is written twice, with the same value
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
        """Mean cross-entropy per target; in evaluation mode always over all items, whatever ``config.loss``.

        Args:
            hidden: float (n, hidden_size), the state before each target.
            targets: int64 (n,), item rows.
            seen: int64 (n, m), items of the history of each target, padded with ``num_items``.
            num_items_in_batch: number of targets to divide by (of an accumulated, distributed batch); default: n.
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
        # A negative that is the target itself would work against the target.
        masked = negatives == targets.unsqueeze(1)
        if self.repeat_bias is not None:
            bias = REPEAT_SCALE * self.repeat_bias
            again = seen == targets.unsqueeze(1)
            own = own + bias * again.any(1)
            # Each item of the history is a candidate once, so it is masked among the sampled negatives.
            candidates = torch.where(again | self._repeated(seen), self.config.num_items, seen)
            history = self._candidate_scores(hidden, candidates) + bias
            history = history.masked_fill(candidates == self.config.num_items, -torch.inf)
            masked = masked | _contained(negatives, seen)
            scores = torch.cat([scores.masked_fill(masked, -torch.inf), history], dim=1)
        else:
            scores = scores.masked_fill(masked, -torch.inf)
        return (torch.logaddexp(own, scores.logsumexp(-1)) - own).sum() / total

    def _repeated(self, seen: torch.Tensor) -> torch.Tensor:
        """Mark the second and later occurrences of an item in each row, bool (n, m)."""
        order = seen.argsort(dim=1, stable=True)
        ranked = seen.gather(1, order)
        again = F.pad(ranked[:, 1:] == ranked[:, :-1], (1, 0))
        return torch.zeros_like(again).scatter_(1, order, again)

    def _candidate_scores(self, hidden: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Scores float (n, m) of items int64 (n, m) for the state of their row; those of padding are arbitrary."""
        if self.config.cosine_scores:
            hidden = F.normalize(hidden, dim=-1) / self.config.score_temperature
        return torch.einsum("nd,nmd->nm", hidden, self.item_vectors(items)).float()

    def _expected_log_counts(self, items: torch.Tensor, draws: int, in_batch: bool) -> torch.Tensor:
        """Logarithm of each item's expected number of draws, float (m,)."""
        if not in_batch:
            return torch.full(items.shape, math.log(draws / self.config.num_items), device=items.device)
        counts = self.item_counts.clamp_min(1.0)
        return torch.log(counts[items] * (draws / counts.sum()))


SASRecConfig.register_for_auto_class()
SASRecModel.register_for_auto_class("AutoModel")

__all__ = ["SASRecModel", "SASRecOutput", "SASRecPreTrainedModel"]
