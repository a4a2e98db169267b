"""Options of GAL-Rec training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...training.language_model_config import LanguageModelTrainingConfig
from .losses import check_weights
from .start_defaults import GALREC


@dataclass
class GALRecTrainingConfig(LanguageModelTrainingConfig):
    """Options of GAL-Rec training. What the model reads is set by its recommender's `GALRecPrompt`.

    The other parameters are those of [`LanguageModelTrainingConfig`]; its ``tokens_per_batch`` counts the items of
    histories that are targets here. Options that are ``None`` have one default for pretrained weights and another for a
    model trained from scratch, see `start_defaults.GALREC`.

    Args:
        loss_weights: weights of the graph-aware losses, by name in `losses.ALIGNMENTS`; JSON on the command line. All
            0: no graph-aware module. Default: 0.1 each, 0.02 from scratch.
        contrastive_temperature: temperature tau of InfoNCE. Default: 0.1, 0.2 from scratch.
        momentum: of the momentum encoder, in [0, 1). Default: 0.999, 0.995 from scratch.
        queue_length: length of each queue of keys; 0: no queue, negatives are the batch's other keys. Default:
            ``min(4096, entities // 2)``.
        symmetric_losses: use each side of a positive pair as the query once (except E_t^1, which gives keys only).
        lm_loss_weight: weight of the vocabulary loss on titles, after the item's token; needs 0 in the prompt's
            ``title_hops``.
        audience_size: maximum number of users of the target item in E_t^1.
        edges_per_user: maximum number of pairs in a row that ``user_to_item`` learns from: the target with the user
            before it, and items of the history, each with the user as it was before that item. The target alone is one
            edge of many: it is cheapest, and the loss learns slowly from it.
        history_targets: compute L_rec at every item of the history, too, not at `[REC]` alone.
        latest_share: probability that the target is the last item of a window, otherwise another one. Default: 0.5, 0.8
            from scratch.
        item_dropout: probability of leaving an item of a window out in an epoch. Default: 0, 0.1 from scratch.
        neighbor_dropout: probability that a row has no neighbours.
        residual_dropout: dropout on what attention and MLP add to the residual stream during training. Default: 0, 0.2
            from scratch.

    Raises:
        ValueError: an invalid value; names the option.
    """

    # Options whose JSON `TrlParser` parses on the command line.
    _VALID_DICT_FIELDS = LanguageModelTrainingConfig._VALID_DICT_FIELDS + ["loss_weights"]
    start_defaults = GALREC

    loss_weights: dict[str, Any] | str | None = field(
        default=None,
        metadata={"help": "of the graph-aware losses by name, as JSON (default: 0.1 each, 0.02 from scratch)"},
    )
    contrastive_temperature: float | None = field(
        default=None, metadata={"help": "of the contrastive losses (default: 0.1, 0.2 from scratch)"}
    )
    momentum: float | None = field(
        default=None, metadata={"help": "of the momentum encoder (default: 0.999, 0.995 from scratch)"}
    )
    queue_length: int | None = field(
        default=None, metadata={"help": "keys per queue (default: min(4096, entities // 2); 0: in-batch negatives)"}
    )
    symmetric_losses: bool = field(default=True, metadata={"help": "let each side of a pair be the query once"})
    lm_loss_weight: float = field(default=0.0, metadata={"help": "of the vocabulary loss on items' titles"})
    audience_size: int = field(default=4, metadata={"help": "users of the target item in E_t^1"})
    edges_per_user: int = field(default=1, metadata={"help": "pairs of a row that user_to_item learns from, at most"})
    history_targets: bool = field(
        default=True, metadata={"help": "L_rec at every item of the history, too, not at [REC] alone"}
    )
    latest_share: float | None = field(
        default=None,
        metadata={
            "help": "probability that the target is the last item, else another (default: 0.5, 0.8 from scratch)"
        },
    )
    item_dropout: float | None = field(
        default=None,
        metadata={"help": "probability with which an item is left out in an epoch (default: 0, 0.1 from scratch)"},
    )
    neighbor_dropout: float = field(default=0.1, metadata={"help": "probability of a row without neighbours"})
    residual_dropout: float | None = field(
        default=None,
        metadata={
            "help": "dropout on what attention and MLP add to the residual stream (default: 0, 0.2 from scratch)"
        },
    )

    def __post_init__(self):
        if self.ddp_broadcast_buffers is None:
            self.ddp_broadcast_buffers = False  # the buffers are tables of external embeddings, which never change
        super().__post_init__()
        self.check()

    def check(self) -> None:
        """Refuse invalid values.

        Raises:
            ValueError: names the option.
        """
        check_weights(self.weights)
        for name in ("lm_loss_weight", "queue_length"):
            if getattr(self, name) is not None and getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.number("momentum") < 1 or self.number("contrastive_temperature") <= 0:
            raise ValueError("momentum must lie in [0, 1), and contrastive_temperature must be positive")
        for name in ("audience_size", "edges_per_user"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    def number(self, name: str) -> float:
        """A numeric option that `start_defaults` fills if it was not set.

        Args:
            name: of the option.

        Raises:
            ValueError: the option has no value.
        """
        value = getattr(self, name)
        if value is None:
            raise ValueError(f"{name} must be a number, got None")
        return value

    @property
    def weights(self) -> dict[str, float]:
        """`loss_weights` as a mapping; raises ValueError if it is not one."""
        if not isinstance(self.loss_weights, dict):
            raise ValueError(f"loss_weights must be a JSON object of loss and weight, got {self.loss_weights!r}")
        return self.loss_weights

    @property
    def has_momentum_copy(self) -> bool:
        return self.has_graph_losses

    @property
    def has_graph_losses(self) -> bool:
        """Whether any graph-aware loss has a positive weight."""
        return any(weight > 0 for weight in self.weights.values())
