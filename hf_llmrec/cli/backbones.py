"""The language model that a command trains: a given one, or a small one from scratch."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import PartialState
from transformers import AutoConfig
from trl import ModelConfig, get_quantization_config

from ..training.backbones import BACKBONES
from ..training.language_model_config import LanguageModelTrainingConfig
from .list_options import json_object
from .options import SameDataArguments
from .plan_options import PlanArguments

logger = logging.getLogger("hf_llmrec")
SAVE_DTYPES = ("auto", "bfloat16", "float16", "float32")


@dataclass
class BackboneArguments(PlanArguments, SameDataArguments):
    """A dataset, and the language model to train on it.

    Args:
        backbone: ``tiny`` or ``small``, trained from scratch where no ``--model_name_or_path`` is given.
        architecture: of the backbone, ``llama`` or ``qwen3``.
        backbone_overrides: config fields of the backbone, as JSON.
        corpus_vocab_size: text vocabulary of the tokenizer that is trained with a backbone.
        save_dtype: of the saved weights: ``auto`` (as the checkpoint of ``--model_name_or_path``), or a dtype.
        liger_kernels: use Liger's kernels in the backbone's layers, on a GPU.
        use_chat_template: put prompts as messages of the tokenizer's chat template, for instruct models.
        resume: continue from the last checkpoint in ``--output_dir``, if there is one.
    """

    backbone: str = field(default="tiny", metadata={"help": "`tiny` or `small`, without --model_name_or_path"})
    architecture: str = field(default="llama", metadata={"help": "of the backbone: `llama` or `qwen3`"})
    backbone_overrides: dict[str, Any] | str | None = field(
        default_factory=dict, metadata={"help": "config fields of the backbone, as JSON"}
    )
    corpus_vocab_size: int = field(default=4000, metadata={"help": "text vocabulary trained with a backbone"})
    save_dtype: str = field(
        default="auto", metadata={"help": "of the saved weights: `auto` (as --model_name_or_path), `bfloat16`, ..."}
    )
    liger_kernels: bool = field(
        default=False, metadata={"help": "Liger's kernels in the backbone's layers (GPU; hf_llmrec[liger])"}
    )
    use_chat_template: bool | None = field(
        default=None,
        metadata={"help": "put prompts as messages of an instruct model's chat template (default: the model's)"},
    )
    resume: bool = field(default=False, metadata={"help": "continue from the last checkpoint in --output_dir"})

    def __post_init__(self):
        super().__post_init__()
        self.backbone_overrides = json_object("backbone_overrides", self.backbone_overrides)
        if self.save_dtype not in SAVE_DTYPES:
            raise ValueError(f"--save_dtype must be one of {SAVE_DTYPES}, got {self.save_dtype!r}")

    def source(self, model_config: ModelConfig) -> str:
        """What ``from_backbone`` builds on: ``--model_name_or_path``, or else ``--backbone``."""
        name = model_config.model_name_or_path
        return self.backbone if not name else f"./{name}" if name in BACKBONES else name

    def loading(self, model_config: ModelConfig, training: LanguageModelTrainingConfig) -> dict[str, Any]:
        """How it is loaded or made, see `hf_llmrec.training.load_backbone.load_backbone`."""
        options = {"attn_implementation": attention_kernel(model_config, training), "has_weights": not self.dry_run}
        if not model_config.model_name_or_path:
            made = {"architecture": self.architecture, "overrides": self.backbone_overrides}
            return {**options, **made, "corpus_vocab_size": self.corpus_vocab_size}
        options |= {"dtype": model_config.dtype, "revision": model_config.model_revision}
        options["trust_remote_code"] = training.trust_remote_code
        quantization = get_quantization_config(model_config)
        if quantization is not None and not self.dry_run:
            # Quantised weights cannot be moved afterwards: each process loads onto its own device.
            options |= {"quantization_config": quantization, "device_map": {"": PartialState().device}}
        return options

    def saved_dtype(self, model_config: ModelConfig, training: LanguageModelTrainingConfig) -> torch.dtype | None:
        """What saved weights are brought to; ``None``: nothing has to be done."""
        if self.save_dtype != "auto":
            return getattr(torch, self.save_dtype)
        if not model_config.model_name_or_path:
            return None
        source = {"revision": model_config.model_revision, "trust_remote_code": training.trust_remote_code}
        found = AutoConfig.from_pretrained(model_config.model_name_or_path, **source).get_text_config().dtype
        return None if found in (None, torch.float32) else found


def attention_kernel(model_config: ModelConfig, training: LanguageModelTrainingConfig) -> str | None:
    """``--attn_implementation``, or what is fastest where nobody chose; ``None``: transformers' default.

    In bf16 on CPUs a training step takes less time with eager attention than with PyTorch's fused kernel.
    """
    chosen = model_config.attn_implementation
    if chosen is None and training.bf16 and training.device.type == "cpu":
        logger.info("bf16 on the CPU: attention is eager (--attn_implementation sdpa is the fused one)")
        return "eager"
    return chosen
