"""Options for the language model that a command trains: a pretrained one, or a small one from scratch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import PartialState
from transformers import AutoConfig
from trl import ModelConfig, get_quantization_config  # pyright: ignore[reportPrivateImportUsage]  # trl exports it lazily

from ..training.backbones import BACKBONES
from ..training.language_model_config import LanguageModelTrainingConfig
from .attention import attention_kernel
from .json_options import JsonObject, json_object
from .options import SameDataArguments
from .plan_options import PlanArguments

SAVE_DTYPES = ("auto", "bfloat16", "float16", "float32")


@dataclass
class BackboneArguments(PlanArguments, SameDataArguments):
    """A dataset and the language model to train on it.

    The other parameters are those of [`SameDataArguments`] and [`PlanArguments`].

    Args:
        backbone: ``tiny`` or ``small``, trained from scratch if ``--model_name_or_path`` is not given.
        architecture: of such a backbone, ``llama`` or ``qwen3``.
        backbone_overrides: configuration fields of such a backbone, as JSON.
        corpus_vocab_size: text tokens in the vocabulary of the tokenizer that is trained for such a backbone.
        num_layers: only the first so many layers of the language model are trained and saved; default: all.
        save_dtype: dtype of the saved weights; ``auto``: that of the checkpoint of ``--model_name_or_path``.
        liger_kernels: use Liger's kernels in the backbone's layers, on a GPU.
        use_chat_template: write prompts as messages in the tokenizer's chat template, for instruct models; default: as
            the model of ``--model_name_or_path`` was trained.
        resume: continue from the last checkpoint in ``--output_dir``, if there is one.
    """

    backbone: str = field(default="tiny", metadata={"help": "`tiny` or `small`, without --model_name_or_path"})
    architecture: str = field(default="llama", metadata={"help": "architecture of the backbone: `llama` or `qwen3`"})
    backbone_overrides: JsonObject = field(
        default_factory=dict, metadata={"help": "configuration fields of the backbone, as JSON"}
    )
    corpus_vocab_size: int = field(default=4000, metadata={"help": "text tokens of the tokenizer of a backbone"})
    num_layers: int | None = field(default=None, metadata={"help": "number of first layers to keep (default: all)"})
    save_dtype: str = field(
        default="auto",
        metadata={"help": "dtype of the saved weights: `auto` (as --model_name_or_path), `bfloat16`, ..."},
    )
    liger_kernels: bool = field(
        default=False, metadata={"help": "Liger's kernels in the backbone's layers (GPU; hf_llmrec[liger])"}
    )
    use_chat_template: bool | None = field(
        default=None,
        metadata={"help": "write prompts in an instruct model's chat template (default: as the model was trained)"},
    )
    resume: bool = field(default=False, metadata={"help": "continue from the last checkpoint in --output_dir"})

    def __post_init__(self):
        super().__post_init__()
        self.backbone_overrides = json_object("backbone_overrides", self.backbone_overrides)
        if self.save_dtype not in SAVE_DTYPES:
            raise ValueError(f"--save_dtype must be one of {SAVE_DTYPES}, got {self.save_dtype!r}")

    @property
    def changed(self) -> dict[str, Any]:
        """Options that differ from their defaults."""
        raise NotImplementedError

    def start_defaults(self, prompt: Any, training: Any) -> dict[str, Any]:
        """Fields of the prompt that were not set, and whose defaults follow from where training starts.

        Args:
            prompt: of the recommender that is trained.
            training: the trainer's options.
        """
        return {}

    def source(self, model_config: ModelConfig) -> str:
        """The model that ``from_backbone`` builds on: ``--model_name_or_path``, or else ``--backbone``."""
        name = model_config.model_name_or_path
        return self.backbone if not name else f"./{name}" if name in BACKBONES else name

    def loading(self, model_config: ModelConfig, training: LanguageModelTrainingConfig) -> dict[str, Any]:
        """Options of `hf_llmrec.training.load_backbone.load_backbone` for that model."""
        options = {"attn_implementation": attention_kernel(model_config, training), "has_weights": not self.dry_run}
        options["num_layers"] = self.num_layers
        if not model_config.model_name_or_path:
            options |= {"architecture": self.architecture, "overrides": self.backbone_overrides}
            return {**options, "corpus_vocab_size": self.corpus_vocab_size}
        options |= {"dtype": model_config.dtype, "revision": model_config.model_revision}
        options["trust_remote_code"] = training.trust_remote_code
        quantization = None if self.dry_run else get_quantization_config(model_config)  # needs bitsandbytes
        if quantization is not None:
            # Quantised weights cannot be moved afterwards: each process loads onto its own device.
            options |= {"quantization_config": quantization, "device_map": {"": PartialState().device}}
        return options

    def saved_dtype(self, model_config: ModelConfig, training: LanguageModelTrainingConfig) -> torch.dtype | None:
        """The dtype to convert saved weights to; ``None``: they are saved as they are."""
        if self.save_dtype != "auto":
            return getattr(torch, self.save_dtype)
        if not model_config.model_name_or_path:
            return None
        source = {"revision": model_config.model_revision, "trust_remote_code": training.trust_remote_code}
        dtype = AutoConfig.from_pretrained(model_config.model_name_or_path, **source).get_text_config().dtype
        return dtype if isinstance(dtype, torch.dtype) and dtype != torch.float32 else None
