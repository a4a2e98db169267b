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
            seen = self._history_scores(hidden, input_ids, labels)[labelled] if self._samples() else None
            loss = self.next_item_loss(hidden[labelled], labels[labelled], seen, kwargs.get("num_items_in_batch"))
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
        return self.item_scores(self.user_vectors(input_ids))

    def _samples(self) -> bool:
        """Whether the loss looks at a sample of the catalogue; while evaluated it looks at all of it."""
        return self.training and self.config.loss == "sampled_softmax"

    def _history_scores(self, hidden: torch.Tensor, input_ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Scores of the items up to each position, float (batch, length, length), -inf for what is no negative."""
        if not self.config.history_negatives:
            return hidden.new_empty(*input_ids.shape, 0)
        if self.config.cosine_scores:
            hidden = F.normalize(hidden, dim=-1) / self.config.score_temperature
        items = input_ids.unsqueeze(1)
        scores = hidden @ self.item_vectors(input_ids).transpose(1, 2)
        barred = (items == labels.unsqueeze(2)) | (items == self.config.num_items)
        later = torch.ones(scores.shape[1:], dtype=torch.bool, device=scores.device).triu(1)
        return scores.masked_fill(barred | later, -torch.inf)

    def next_item_loss(
        self,
        hidden: torch.Tensor,
        targets: torch.Tensor,
        seen_scores: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Cross-entropy of the targets, per target.

        Args:
            hidden: float (n, hidden_size). targets: int64 (n,).
            seen_scores: float (n, m), scores of further negatives, -inf where there is none (sampled softmax).
            num_items_in_batch: divide by this many targets (of an accumulated, distributed batch) instead of n.
        """
        total = max(len(targets), 1) if num_items_in_batch is None else num_items_in_batch
        if not self._samples():
            return F.cross_entropy(self.item_scores(hidden).float(), targets, reduction="sum") / total
        in_batch = self.config.negatives == "in_batch"
        if in_batch:
            negatives = targets
        else:
            negatives = torch.randint(self.config.num_items, (self.config.num_negatives,), device=targets.device)
        scores = self.item_scores(hidden, negatives).float()
        own = self._target_scores(hidden, targets).float()
        if self.config.logq_correction:
            scores = scores - self._expected_log_counts(negatives, len(negatives), in_batch)
        # A negative that is the target itself would be pushed away from where it belongs.
        scores = scores.masked_fill(negatives == targets.unsqueeze(1), -torch.inf)
        if seen_scores is not None:
            scores = torch.cat([scores, seen_scores.float()], dim=1)
        return (torch.logaddexp(own, scores.logsumexp(-1)) - own).sum() / total

    def _target_scores(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Score of each target after its own state, float (n,)."""
        weight = F.embedding(targets, self.item_embeddings.weight)
        if self.config.cosine_scores:
            return F.cosine_similarity(hidden, weight, dim=-1) / self.config.score_temperature
        return (hidden * weight).sum(-1)

    def _expected_log_counts(self, items: torch.Tensor, draws: int, in_batch: bool) -> torch.Tensor:
        """log of how often each item is expected among the draws, float (m,)."""
        if not in_batch:
            return torch.full(items.shape, math.log(draws / self.config.num_items), device=items.device)
        counts = self.item_counts.clamp_min(1.0)
        return torch.log(counts[items] * (draws / counts.sum()))


SASRecConfig.register_for_auto_class()
SASRecModel.register_for_auto_class("AutoModel")

__all__ = ["SASRecModel", "SASRecOutput", "SASRecPreTrainedModel"]
