"""Chooses the attention kernel of a training run."""

from __future__ import annotations

import logging

from trl import ModelConfig  # pyright: ignore[reportPrivateImportUsage]  # trl exports it lazily

from ..training.language_model_config import LanguageModelTrainingConfig

logger = logging.getLogger("hf_llmrec")


def attention_kernel(model_config: ModelConfig, training: LanguageModelTrainingConfig) -> str | None:
    """``--attn_implementation``, or by default the fastest one; ``None``: transformers' default.

    In bf16 on CPUs a training step takes less time with eager attention than with PyTorch's fused kernel.

    Args:
        model_config: has ``--attn_implementation``.
        training: says in which precision and on which device the model is trained.
    """
    chosen = model_config.attn_implementation
    if chosen is None and training.bf16 and training.device.type == "cpu":
        logger.info("bf16 on the CPU: attention is eager (--attn_implementation sdpa is the fused one)")
        return "eager"
    return chosen
