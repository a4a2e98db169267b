"""Small stock backbones built from a config, for training from scratch where no pretrained LLM is available."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

ARCHITECTURES = ("llama", "qwen3")
BACKBONES: dict[str, dict[str, Any]] = {
    # About 0.8 million parameters besides the embeddings: minutes on a laptop.
    "tiny": {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 4},
    # About 6 million parameters besides the embeddings: minutes on a GPU, hours on a laptop.
    "small": {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 8},
}


def build_backbone(
    size: str,
    tokenizer: PreTrainedTokenizerBase,
    *,
    architecture: str = "llama",
    max_length: int = 1024,
    overrides: Mapping[str, Any] | None = None,
    attn_implementation: str | None = None,
) -> PreTrainedModel:
    """Build a randomly initialised stock causal LM with tied embeddings, in float32.

    Args:
        size: a key of `BACKBONES`.
        tokenizer: determines the vocabulary size and the special token ids.
        architecture: ``llama`` or ``qwen3``.
        max_length: number of positions, in tokens.
        overrides: config fields that replace those of ``size``.
        attn_implementation: attention kernel, one of transformers'; ``None``: its default.

    Raises:
        ValueError: unknown size or architecture, or an override that the architecture's config does not have.
    """
    if size not in BACKBONES:
        raise ValueError(f"--backbone must be one of {sorted(BACKBONES)}, got {size!r}")
    if architecture not in ARCHITECTURES:
        raise ValueError(f"--architecture must be one of {ARCHITECTURES}, got {architecture!r}")
    fields = {**BACKBONES[size], **(overrides or {})}
    fields.setdefault("num_key_value_heads", fields["num_attention_heads"])
    fields.setdefault("head_dim", fields["hidden_size"] // fields["num_attention_heads"])
    available = AutoConfig.for_model(architecture).to_dict()
    unknown = sorted(set(fields) - set(available))
    if unknown:
        raise ValueError(f"--backbone_overrides: {architecture} configs have no field {unknown}")
    try:
        config = AutoConfig.for_model(
            architecture,
            vocab_size=len(tokenizer),
            max_position_embeddings=max_length,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **fields,
        )
        return AutoModelForCausalLM.from_config(config, attn_implementation=attn_implementation)
    except (ValueError, TypeError, StrictDataclassError) as error:
        if not overrides:
            raise
        raise ValueError(f"--backbone_overrides: {' '.join(str(error).split())}") from error
