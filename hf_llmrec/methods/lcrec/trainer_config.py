"""Options of LC-Rec training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from ...data.held_out_texts import HeldOutTexts
from ...training.language_model_config import LanguageModelTrainingConfig

INDEX_LOSSES = ("level", "vocab", "children")


@dataclass
class LCRecTrainingConfig(LanguageModelTrainingConfig):
    """Options of LC-Rec training.

    The other parameters are those of [`LanguageModelTrainingConfig`]. The form of the prompts is not an option of the
    training, but belongs to the recommender, see [`LCRecPrompt`].

    Args:
        task_weights: number of rows of each task per epoch, as a multiple of the rows that the task has; 0 turns a
            task off. Tasks are ``seq``, ``mut``, ``asy``, ``ite`` and ``per`` (arXiv 2311.09049, section 3.3), and
            ``neighbors``, see `NeighborPairs`, and ``text``, of ``plain_text``. JSON on the command line.
        plain_text: UTF-8 file of plain text, one paragraph per line or between blank lines, which is packed into rows
            of ``max_length`` and trained on as the task ``text``, so that the model does not forget how to write. Its
            weight in ``task_weights`` is 1 unless it is set.
        held_out_texts: share of the items whose titles, descriptions and intentions are kept out of all text tasks, so
            that ``evaluate --tasks`` can measure what the model makes of texts that it has not seen. Their indices are
            trained as all others. Also left out are preferences of users who chose such an item. 0: none.
        held_out_texts_seed: seed of the choice of these items.
        index_loss: codes over which the loss of index tokens is normalised: ``level``, those of the token's level,
            ``vocab``, the full vocabulary (the paper's), or ``children``, the codes with which an item continues the
            codes before. The last one suits a recommender with ``normalize="children"``.
        level_loss_weights: weight of each level's loss in training, from coarse to fine; they are divided by their
            mean. Larger first weights favour prefixes, which the beam search must keep. Validation losses are not
            weighted. Default: all levels count the same.
        item_dropout: probability with which an item of a packed sequence is left out in an epoch.
        embedding_dropout: dropout on the input embeddings in training.
        residual_dropout: dropout on the outputs of attention and MLP before they are added to the residual stream.
        warmup_rows_steps: number of optimizer steps at the beginning in which only the embedding and head rows of the
            index tokens are trained, see [`RowWarmup`]. The schedule of ``learning_rate`` begins after them; in them
            the rate is constant, after ``warmup_steps``.
        learn_repeat_bias: after training, fit the number that is added to the scores of the history's items, on the
            validation users, see `fit_repeat_bias`.
        memory: after training, add co-occurrences and transitions of the training interactions to the recommender, with
            weights that are fitted on the validation users, see `fit_memory`. They are saved and published with it.
        memory_neighbors: number of neighbours of each item that are stored in each of the two tables.
        memory_min_users: pairs of items that fewer users have in common are not stored. With 2 or more, no pair comes
            from a single user.
    """

    # Listed, so that TrlParser parses its value as JSON.
    _VALID_DICT_FIELDS = LanguageModelTrainingConfig._VALID_DICT_FIELDS + ["task_weights"]

    task_weights: dict[str, Any] | str | None = field(
        default_factory=lambda: {"seq": 1.0, "mut": 1.0, "asy": 0.2, "ite": 1.0, "per": 1.0},
        metadata={"help": "rows of each task per epoch as a multiple of the rows it has; JSON on the command line"},
    )
    plain_text: str | None = field(
        default=None, metadata={"help": "file of plain text that is mixed into training, as the task `text`"}
    )
    held_out_texts: float = field(
        default=0.0, metadata={"help": "share of the items whose texts are kept out of all text tasks (0: none)"}
    )
    held_out_texts_seed: int = field(default=0, metadata={"help": "seed of the choice of --held_out_texts"})
    index_loss: str = field(
        default="level",
        metadata={
            "help": "normalise index tokens over their `level`'s codes, the whole `vocab`, or an item's `children`"
        },
    )
    level_loss_weights: list[float] | None = field(
        default=None, metadata={"help": "weight of each level's loss in training (default: all the same)"}
    )
    item_dropout: float = field(
        default=0.0, metadata={"help": "probability with which an item of a packed sequence is left out in an epoch"}
    )
    embedding_dropout: float = field(default=0.0, metadata={"help": "dropout on the input embeddings in training"})
    residual_dropout: float = field(
        default=0.0, metadata={"help": "dropout on what attention and MLP add to the residual stream in training"}
    )
    warmup_rows_steps: int = field(
        default=0, metadata={"help": "first optimizer steps, which train the rows of index tokens alone"}
    )
    learn_repeat_bias: bool = field(
        default=True,
        metadata={"help": "fit the bias of the history's items after training, on validation users"},
    )
    memory: bool = field(
        default=True,
        metadata={"help": "fit item-item co-occurrences and transitions after training, saved with the model"},
    )
    memory_neighbors: int = field(default=200, metadata={"help": "neighbours of each item that the memory stores"})
    memory_min_users: int = field(
        default=1,
        metadata={"help": "pairs of items that fewer users have in common are not stored"},
    )

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.task_weights, dict):
            raise ValueError(f"task_weights must be a JSON object of task and weight, got {self.task_weights!r}")
        for task, weight in self.task_weights.items():
            if not isinstance(weight, (int, float)):
                raise ValueError(f"task_weights: the weight of {task} must be a number, got {weight!r}")
        if self.plain_text is None and self.task_weights.get("text", 0) > 0:
            raise ValueError("task_weights: the task text needs plain_text, a file")
        self.held_out_items()  # checks the share
        if self.index_loss not in INDEX_LOSSES:
            raise ValueError(f"index_loss must be one of {INDEX_LOSSES}, got {self.index_loss!r}")
        weights = self.level_loss_weights
        if weights is not None and (min(weights, default=-1.0) < 0 or sum(weights) == 0):
            raise ValueError(f"level_loss_weights must be at least 0 and not all 0, got {weights}")
        for name in ("memory_neighbors", "memory_min_users"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.warmup_rows_steps < 0:
            raise ValueError(f"warmup_rows_steps must not be negative, got {self.warmup_rows_steps}")
        for name in ("item_dropout", "embedding_dropout", "residual_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")

    def all_task_weights(self) -> dict[str, float]:
        """``task_weights`` with the weight of ``text``, if there is plain text."""
        weights = cast(dict[str, float], self.task_weights)  # `__post_init__` has checked that
        return weights if self.plain_text is None else {"text": 1.0, **weights}

    def held_out_items(self) -> HeldOutTexts | None:
        """Which items' texts are held out; ``None``: none."""
        return HeldOutTexts.of_options(self.held_out_texts, self.held_out_texts_seed)
