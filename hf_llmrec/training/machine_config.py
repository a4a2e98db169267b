"""Training options that follow from the machine, and options that have no effect on rows of items."""

from __future__ import annotations

import torch
from transformers.utils.import_utils import is_torch_bf16_gpu_available

from .config_base import ConfigBase


def accelerator_type() -> str | None:
    """PyTorch's name of the accelerator's kind: ``cuda``, ``xpu``, ``mps``, ``npu``...; ``None`` if there is none."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return None if accelerator is None else accelerator.type


def accelerator_name() -> str | None:
    """The name that the accelerator reports; ``None`` if there is none."""
    kind = accelerator_type()
    if kind in (None, "mps"):
        return kind
    return torch.get_device_module(kind).get_device_name()


def accelerator_memory() -> int:
    """Bytes of the accelerator's memory."""
    kind = accelerator_type()
    if kind == "mps":
        return torch.mps.recommended_max_memory()
    return torch.get_device_module(kind).mem_get_info()[1]


def has_fast_bf16() -> bool:
    """Whether there is an accelerator that computes in bf16. Apple's older ones only emulate it."""
    return accelerator_type() not in (None, "mps") and is_torch_bf16_gpu_available()


class MachineConfig(ConfigBase):
    """Mixin before `transformers.TrainingArguments` or a subclass: sets or refuses options according to the machine.

    - ``bf16`` on a machine without an accelerator sets ``use_cpu``, which transformers asks for.
    - ``dataloader_pin_memory`` is switched off where PyTorch warns that it has no effect.
    - ``ddp_find_unused_parameters`` is off: every step uses every trained parameter.
    - ``dataloader_drop_last`` and ``train_sampling_strategy`` are refused: see `LengthGroupedBatchSampler`.

    Raises:
        ValueError: an option that would have no effect.
    """

    def __post_init__(self):
        if self.dataloader_drop_last:
            raise ValueError("dataloader_drop_last has no effect: rows are divided evenly, no batch is left incomplete")
        if self.train_sampling_strategy != "random":
            raise ValueError(
                f"train_sampling_strategy {self.train_sampling_strategy!r} has no effect: rows of similar length "
                "share a batch, and batches come in random order; leave it out"
            )
        if self.bf16 and accelerator_type() is None:
            self.use_cpu = True
        if accelerator_type() in (None, "mps"):
            self.dataloader_pin_memory = False
        if self.ddp_find_unused_parameters is None:
            self.ddp_find_unused_parameters = False
        super().__post_init__()
