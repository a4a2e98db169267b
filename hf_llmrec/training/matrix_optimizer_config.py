"""Options for the optimizer of the matrices of a model's layers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import torch

from .config_base import ConfigBase

MATRIX_OPTIMIZERS = ("adamw", "muon")


@dataclass
class MatrixOptimizerConfig(ConfigBase):
    """Mixin before `transformers.TrainingArguments` or a subclass.

    Args:
        matrix_optimizer: what updates the matrices of the model's layers: ``adamw``, the optimizer of all parameters
            (``optim``), or ``muon`` (needs torch 2.9 or later), while AdamW updates embeddings, norms, heads, biases
            and all others.
        matrix_learning_rate: with ``muon``, the peak learning rate of the matrices; default: ``learning_rate``, as
            Muon's updates are scaled to the size of AdamW's.

    Raises:
        ValueError: an unknown optimizer, a learning rate that is not positive or has no effect, or a setting with
            which Muon does not work: DeepSpeed, FSDP, an ``optim`` other than AdamW, an older torch.
    """

    matrix_optimizer: str = field(
        default="adamw",
        metadata={"help": "optimizer of the matrices of layers: `adamw`, as all parameters, or `muon`"},
    )
    matrix_learning_rate: float | None = field(
        default=None, metadata={"help": "peak learning rate of the matrices with `muon` (default: --learning_rate)"}
    )

    def __post_init__(self):
        super().__post_init__()
        if self.matrix_optimizer not in MATRIX_OPTIMIZERS:
            raise ValueError(f"matrix_optimizer must be one of {MATRIX_OPTIMIZERS}, got {self.matrix_optimizer!r}")
        rate = self.matrix_learning_rate
        if rate is not None and rate <= 0:
            raise ValueError(f"matrix_learning_rate must be above 0, got {rate}")
        if self.matrix_optimizer == "muon":
            self._check_muon()
        elif rate is not None:
            raise ValueError("matrix_learning_rate has no effect with matrix_optimizer adamw: set learning_rate")

    def _check_muon(self) -> None:
        reason = None
        if not hasattr(torch.optim, "Muon"):
            reason = f"it needs torch 2.9 or later, this is torch {torch.__version__}"
        elif self.deepspeed_plugin is not None or self.deepspeed:
            reason = "it does not work with DeepSpeed, which flattens matrices: use ddp.yaml, or leave it out"
        elif self.fsdp or os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
            reason = "it does not work with FSDP, which shards matrices: use ddp.yaml, or leave it out"
        elif self.optim not in ("adamw_torch", "adamw_torch_fused"):
            name = getattr(self.optim, "value", self.optim)
            reason = f"the other parameters are updated by AdamW: set optim to adamw_torch, not {name}"
        if reason is not None:
            raise ValueError(f"matrix_optimizer muon: {reason}")
