"""Liger's Triton kernels in the layers of a stock decoder: less memory and time on a GPU."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel


def add_liger_kernels(model: PreTrainedModel) -> None:
    """Replace RMSNorm, rotary embeddings and gated MLPs of a model by Liger's kernels, in place.

    Liger's fused losses are not used: they project every position, the package's trainers only those with a label.

    Args:
        model: a stock decoder on a GPU.

    Raises:
        ValueError: no GPU, or an architecture that Liger does not support.
        ImportError: liger-kernel is not installed.
    """
    if not torch.cuda.is_available():
        raise ValueError("--liger_kernels needs a GPU: leave it out on a CPU")
    from liger_kernel.transformers import (  # pyright: ignore[reportMissingImports]  # an extra
        _apply_liger_kernel_to_instance,
    )
    from liger_kernel.transformers.monkey_patch import (  # pyright: ignore[reportMissingImports]  # an extra
        MODEL_TYPE_TO_APPLY_LIGER_FN,
    )

    kind = model.config.model_type
    if kind not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise ValueError(f"--liger_kernels: Liger has no kernels for {kind}; it has for llama, qwen3 and others")
    _apply_liger_kernel_to_instance(model=model, cross_entropy=False, fused_linear_cross_entropy=False)
