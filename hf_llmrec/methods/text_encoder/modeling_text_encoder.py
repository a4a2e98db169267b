"""Text encoder: next items by the cosine of a history with items' text vectors (UniSRec, arXiv 2206.05941)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel, initialization
from transformers.utils.generic import ModelOutput

from .configuration_text_encoder import TextEncoderConfig
from .history_layers import TextEncoderBlock

# The repeat bias is learned in this unit: scores have a range of tens, and one step of Adam moves a parameter by 0.001.
REPEAT_SCALE = 10.0
# Added to the variances before whitening, as a share of their mean.
WHITENING_FLOOR = 0.01


@dataclass
class TextEncoderOutput(ModelOutput):
    """Output of [`TextEncoderModel`].

    Args:
        loss: float (), mean cross-entropy per labelled position; ``None`` without labels.
        last_hidden_state: float (batch, length, hidden_size), unit vectors: the query after each position.
    """

    loss: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None


class TextEncoderPreTrainedModel(PreTrainedModel):
    """Base class with the initial weights of the text encoder."""

    config: TextEncoderConfig
    config_class = TextEncoderConfig
    base_model_prefix = "text_encoder"
    main_input_name = "input_ids"
    _no_split_modules = ["TextEncoderBlock"]

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
        if isinstance(module, TextEncoderModel):
            initialization.ones_(module.candidates)
            for name in ("text_vectors", "text_mean", "whitening", "repeat_bias"):
                if getattr(module, name) is not None:
                    initialization.zeros_(getattr(module, name))
            if module.adaptor is not None:  # starts as the first principal components
                initialization.eye_(module.adaptor.weight)


class TextEncoderModel(TextEncoderPreTrainedModel):
    """Scores items by the cosine between their vectors and the vector of a history, divided by a temperature.

    There are no embeddings of item ids: an item's vector is a linear function of its text's vector (the adaptor, after
    whitening: UniSRec, arXiv 2206.05941, section 2.1.2), so that items without interactions are scored as all others
    are. Histories are padded on the *right* with ``num_items``.

    Args:
        config: a [`TextEncoderConfig`].

    Attributes:
        text_vectors: float (num_items, text_size), the text vectors; whitened if there is an adaptor.
        text_mean: float (text_size,), mean of the text vectors before whitening.
        whitening: float (text_size, text_size), rows are the principal directions divided by the deviations along them.

    Example:

    ```python
    >>> model = TextEncoderModel(TextEncoderConfig(num_items=12101, text_size=384))
    >>> model.set_text_vectors(torch.from_numpy(embed_items(dataset, "sentence-transformers/all-MiniLM-L6-v2")))
    >>> scores = model.score_histories(histories)               # float (batch, num_items)
    ```
    """

    text_vectors: torch.Tensor
    text_mean: torch.Tensor | None
    whitening: torch.Tensor | None
    candidates: torch.Tensor

    def __init__(self, config: TextEncoderConfig):
        super().__init__(config)
        reads_items, width = config.history_encoder == "transformer", config.text_size
        self.register_buffer("text_vectors", torch.zeros(config.num_items, width))
        self.register_buffer("text_mean", torch.zeros(width) if reads_items else None)
        self.register_buffer("whitening", torch.zeros(width, width) if reads_items else None)
        # 1 for items that are drawn as negatives. An item without interactions would only ever be one.
        self.register_buffer("candidates", torch.ones(config.num_items), persistent=False)
        self.repeat_bias = nn.Parameter(torch.zeros(())) if config.repeat_bias else None
        self.adaptor, self.layers = None, nn.ModuleList()
        if reads_items:
            self.adaptor = nn.Linear(width, config.hidden_size)
            self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
            self.layers.extend(TextEncoderBlock(config) for _ in range(config.num_hidden_layers))
            self.norm = nn.LayerNorm(config.hidden_size)
        self.post_init()

    @torch.no_grad()
    def set_text_vectors(self, vectors: torch.Tensor) -> None:
        """Set the items' text vectors; with an adaptor also the whitening, which is computed from them.

        Args:
            vectors: float (num_items, text_size), of any length.
        """
        vectors = vectors.to(self.text_vectors)
        if self.whitening is not None and self.text_mean is not None:
            self.text_mean.copy_(vectors.mean(0))
            centred = (vectors - self.text_mean).double()
            variances, directions = torch.linalg.eigh(centred.T @ centred / max(len(centred), 1))
            # Largest first. Directions with hardly any variance are noise, which full whitening would blow up.
            least = WHITENING_FLOOR * variances.mean().clamp_min(1e-12)
            scales = (variances.clamp_min(0) + least).rsqrt()
            self.whitening.copy_((directions * scales).T.flip(0))
            vectors = self.whiten(vectors)
        self.text_vectors.copy_(vectors)

    def whiten(self, vectors: torch.Tensor) -> torch.Tensor:
        """Whiten text vectors as those of the catalogue were; without an adaptor they are returned as they are.

        Args:
            vectors: float (n, text_size), as passed to `set_text_vectors`.

        Returns:
            float (n, text_size).
        """
        if self.whitening is None or self.text_mean is None:
            return vectors
        return (vectors - self.text_mean) @ self.whitening.T

    def linear_adaptor(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Whitening and adaptor as one linear function of a text vector, whose direction is the item's vector.

        Returns:
            weight, float64 (hidden_size, text_size), and bias, float64 (hidden_size,).

        Raises:
            ValueError: there is no adaptor.
        """
        if self.adaptor is None or self.whitening is None or self.text_mean is None:
            raise ValueError("history_encoder is 'text': there is no adaptor")
        # On the CPU: not every accelerator has float64.
        tensors = (self.adaptor.weight, self.adaptor.bias, self.whitening, self.text_mean)
        adaptor, bias, whitening, mean = (tensor.detach().cpu().double() for tensor in tensors)
        weight = adaptor @ whitening
        return weight, bias - weight @ mean

    def item_vectors(self, item_rows: torch.Tensor | None = None) -> torch.Tensor:
        """Vectors of items, of unit length: adapted text vectors.

        Args:
            item_rows: int64 (...), the items; ``num_items`` gives zeros. ``None``: all items.

        Returns:
            float (..., d) or (num_items, d).
        """
        if item_rows is None:
            vectors = self.text_vectors
        else:
            vectors = self.text_vectors[item_rows.clamp_max(self.config.num_items - 1)]
        if self.adaptor is not None:
            vectors = self.adaptor(vectors)
        vectors = F.normalize(vectors, dim=-1)
        if item_rows is not None:
            vectors = vectors.masked_fill((item_rows == self.config.num_items).unsqueeze(-1), 0.0)
        return vectors

    def forward(
        self,
        input_ids: torch.Tensor,
        labels: torch.Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs,
    ) -> TextEncoderOutput | tuple:
        """Encode histories and, with labels, compute the training loss.

        Args:
            input_ids: int64 (batch, length), item rows, right-padded with ``num_items``; length at most
                ``max_position_embeddings``.
            labels: int64 (batch, length), the item row that follows each position, -100 where there is none; ``None``:
                no loss is computed.
            return_dict: ``False``: return a tuple instead of a [`TextEncoderOutput`].
            kwargs: ``num_items_in_batch``, the number of labels to divide the loss by (of an accumulated, distributed
                batch; default: those of this batch); others are ignored.
        """
        if self.adaptor is None:
            raise ValueError("history_encoder is 'text': histories are encoded by the sentence-transformers model")
        length = input_ids.shape[1]
        if length > self.config.max_position_embeddings:
            raise ValueError(f"histories of {length} items: at most {self.config.max_position_embeddings} are read")
        items = self.item_vectors(input_ids)
        hidden = items * math.sqrt(self.config.hidden_size) + self.position_embeddings.weight[:length]
        hidden = F.dropout(hidden, self.config.hidden_dropout, self.training)
        for layer in self.layers:
            hidden = layer(hidden)
        hidden = F.normalize(self.norm(hidden), dim=-1)
        loss = None
        if labels is not None:
            total = kwargs.get("num_items_in_batch")
            total = (labels != -100).sum().clamp_min(1) if total is None else total
            loss = self._next_item_losses(hidden, items, input_ids, labels).sum() / total
        output = TextEncoderOutput(loss=loss, last_hidden_state=hidden)
        return output if return_dict in (None, True) else output.to_tuple()

    def user_vectors(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Vector of each history, of unit length.

        Args:
            input_ids: int64 (batch, length), item rows, oldest first, right-padded with ``num_items``; the latest
                ``max_position_embeddings`` are read.

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
        return hidden[torch.arange(len(hidden), device=hidden.device), (counts - 1).clamp_min(0)]

    def score_histories(self, input_ids: torch.Tensor, user_rows: torch.Tensor | None = None) -> torch.Tensor:
        """Scores of all items after each history.

        Args:
            input_ids: int64 (batch, length), item rows, oldest first, right-padded with ``num_items``.
            user_rows: not used: there are no vectors of users, only their histories.

        Returns:
            float (batch, num_items).
        """
        return self.score_queries(self.user_vectors(input_ids), input_ids)

    def score_queries(self, queries: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Scores of all items for given vectors of histories, which a fine-tuned sentence-transformers model makes.

        Args:
            queries: float (batch, d), of unit length.
            seen: int64 (batch, length), the items of each history, padded with ``num_items``: they get the repeat bias.

        Returns:
            float (batch, num_items).
        """
        scores = queries @ self.item_vectors().T / self.config.score_temperature
        if self.repeat_bias is None:
            return scores
        marked = scores.new_zeros(len(scores), self.config.num_items + 1).scatter_(1, seen, 1.0)
        return scores + marked[:, :-1] * (REPEAT_SCALE * self.repeat_bias)

    def _next_item_losses(
        self, hidden: torch.Tensor, items: torch.Tensor, input_ids: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """Cross-entropy of each target among negatives and the items of its history.

        Every distinct item counts once: the target, the items of the history up to the position (with the repeat bias),
        and the negatives. Items that the user chose later are no negatives. In evaluation mode all items of the
        catalogue are candidates.

        Args:
            hidden: float (batch, length, hidden_size), of unit length.
            items: float (batch, length, hidden_size), vectors of ``input_ids``.
            input_ids: int64 (batch, length).
            labels: int64 (batch, length).

        Returns:
            float (labels,).
        """
        labelled, padding = labels != -100, self.config.num_items
        queries, targets = hidden / self.config.score_temperature, labels[labelled]
        negatives, correction = self._draw_negatives()
        own = (queries[labelled] * self.item_vectors(targets)).sum(-1).float()
        # The user's own items are no negatives; those of the history are candidates of their own.
        chosen = torch.zeros(len(labels), padding + 1, dtype=torch.bool, device=labels.device)
        chosen = chosen.scatter_(1, input_ids, True).scatter_(1, labels.masked_fill(~labelled, padding), True)
        chosen = chosen[:, negatives][labelled.nonzero()[:, 0]]
        others = (queries[labelled] @ self.item_vectors(negatives).T).float() - correction
        # (labels, length): an item that occurs several times counts where it is first; the target is counted already.
        past = torch.ones_like(input_ids).unsqueeze(1).expand(-1, input_ids.shape[1], -1).tril()[labelled] > 0
        again = (input_ids.unsqueeze(2) == input_ids.unsqueeze(1)).tril(-1).any(2) | (input_ids == padding)
        is_target = input_ids.unsqueeze(1).expand(-1, input_ids.shape[1], -1)[labelled] == targets.unsqueeze(1)
        history = (queries @ items.transpose(1, 2))[labelled].float()
        if self.repeat_bias is not None:
            history = history + REPEAT_SCALE * self.repeat_bias
            own = own + REPEAT_SCALE * self.repeat_bias * (is_target & past).any(1)
        left_out = ~past | is_target | again.unsqueeze(1).expand(-1, input_ids.shape[1], -1)[labelled]
        candidates = [
            own.unsqueeze(1),
            others.masked_fill(chosen, -torch.inf),
            history.masked_fill(left_out, -torch.inf),
        ]
        return torch.cat(candidates, dim=1).logsumexp(1) - own

    def _draw_negatives(self) -> tuple[torch.Tensor, float]:
        """Item rows, int64 (m,), and the logarithm of how often each is expected among them."""
        count = self.config.num_negatives
        if not self.training:
            return torch.arange(self.config.num_items, device=self.candidates.device), 0.0
        if count == 0:
            return self.candidates.nonzero().squeeze(1), 0.0
        drawn = torch.multinomial(self.candidates, count, replacement=True)
        return drawn, math.log(count / self.candidates.sum().item())


TextEncoderConfig.register_for_auto_class()
TextEncoderModel.register_for_auto_class("AutoModel")

__all__ = ["TextEncoderModel", "TextEncoderOutput", "TextEncoderPreTrainedModel"]
