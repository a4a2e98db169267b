"""`SASRecTrainingConfig`: options of SASRec training."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...training.row_config import RowTrainingConfig


@dataclass
class SASRecTrainingConfig(RowTrainingConfig):
    """Options of SASRec training. The other parameters are those of [`RowTrainingConfig`].

    Args:
        item_dropout: probability with which an item of a training sequence is left out in an epoch.
    """

    item_dropout: float = field(
        default=0.2, metadata={"help": "probability with which an item of a sequence is left out in an epoch"}
    )

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.item_dropout < 1:
            raise ValueError(f"item_dropout must lie in [0, 1), got {self.item_dropout}")
