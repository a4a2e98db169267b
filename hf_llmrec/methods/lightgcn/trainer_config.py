"""`LightGCNTrainingConfig`: options of LightGCN training."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...training.row_config import RowTrainingConfig


@dataclass
class LightGCNTrainingConfig(RowTrainingConfig):
    """Options of LightGCN training.

    Options that are measured in tokens count training interactions here. The other parameters are those of
    [`RowTrainingConfig`].

    Args:
        steps_per_epoch: optimizer steps per epoch, where no batch size is set.
        target_steps: optimizer steps of the training, where the number of epochs is not set.
        learning_rate: peak learning rate.
        regularization: weight of the squared length of the embeddings of a batch (lambda of arXiv 2002.02126, eq. 15).
    """

    steps_per_epoch: int = field(default=20, metadata={"help": "optimizer steps per epoch, when nobody sized batches"})
    target_steps: int = field(default=4000, metadata={"help": "optimizer steps, when nobody set the epochs"})
    learning_rate: float = field(default=5e-3, metadata={"help": "peak learning rate"})
    regularization: float = field(default=1e-4, metadata={"help": "weight of the embeddings' squared length"})

    def __post_init__(self):
        super().__post_init__()
        if self.regularization < 0:
            raise ValueError(f"regularization must not be negative, got {self.regularization}")
