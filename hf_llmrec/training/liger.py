"""Liger's Triton kernels in the layers of a stock decoder: less memory and time on a GPU."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel


def add_liger_kernels(model: PreTrainedModel) -> None:
    """Let RMSNorm, rotary embeddings and gated MLPs of ``model`` run as Liger's kernels, in place.

    Its fused losses are left out: they project every position, our trainers only those with a label.

    Raises:
        ValueError: no GPU, or an architecture that Liger does not know.
        ImportError: liger-kernel is not installed.
    """
    if not torch.cuda.is_available():
        raise ValueError("--liger_kernels needs a GPU: leave it out on a CPU")
    from liger_kernel.transformers import _apply_liger_kernel_to_instance
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

    kind = model.config.model_type
    if kind not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise ValueError(f"--liger_kernels: Liger has no kernels for {kind}; it has for llama, qwen3 and others")
    _apply_liger_kernel_to_instance(model=model, cross_entropy=False, fused_linear_cross_entropy=False)
