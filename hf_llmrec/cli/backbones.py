"""The language model that a command trains: a given one, or a small one from scratch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import PartialState
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.integrations import is_deepspeed_zero3_enabled
from trl import ModelConfig, get_quantization_config

from ..data.model_folder import check_tokenizer_files
from ..training.backbones import build_backbone
from ..training.corpus_tokenizer import train_corpus_tokenizer
from ..training.generation_defaults import mend_generation_config
from ..training.language_model_config import LanguageModelTrainingConfig
from .list_options import json_object, naming
from .options import SameDataArguments
from .plan import PlanArguments

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
    resume: bool = field(default=False, metadata={"help": "continue from the last checkpoint in --output_dir"})

    def __post_init__(self):
        super().__post_init__()
        self.backbone_overrides = json_object("backbone_overrides", self.backbone_overrides)
        if self.save_dtype not in SAVE_DTYPES:
            raise ValueError(f"--save_dtype must be one of {SAVE_DTYPES}, got {self.save_dtype!r}")

    def saved_dtype(self, model_config: ModelConfig, training: LanguageModelTrainingConfig) -> torch.dtype | None:
        """What saved weights are brought to; ``None``: nothing has to be done."""
        if self.save_dtype != "auto":
            return getattr(torch, self.save_dtype)
        if not model_config.model_name_or_path:
            return None
        source = {"revision": model_config.model_revision, "trust_remote_code": training.trust_remote_code}
        found = AutoConfig.from_pretrained(model_config.model_name_or_path, **source).get_text_config().dtype
        return None if found in (None, torch.float32) else found


def load_backbone(
    arguments: BackboneArguments,
    model_config: ModelConfig,
    training: LanguageModelTrainingConfig,
    texts: Callable[[], Sequence[str]],
    extend: Callable[[PreTrainedTokenizerBase], PreTrainedTokenizerBase] = lambda tokenizer: tokenizer,
    fields: dict[str, Any] | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """(causal language model, tokenizer), as ``--model_name_or_path`` or ``--backbone`` say.

    Args:
        texts: gives what a tokenizer is trained on where none is given.
        extend: what becomes of the tokenizer. A model from scratch is made for the extended one; a given model keeps
            its vocabulary.
        fields: of a given model's configuration, to change.
    """
    name, attention = model_config.model_name_or_path, attention_kernel(model_config, training)
    if not name:
        tokenizer = extend(train_corpus_tokenizer(texts(), vocab_size=arguments.corpus_vocab_size))
        place = torch.device("meta") if arguments.dry_run else nullcontext()
        with place, naming("backbone_overrides" if arguments.backbone_overrides else "backbone"):
            model = build_backbone(
                arguments.backbone,
                tokenizer,
                architecture=arguments.architecture,
                max_length=training.max_length,
                overrides=arguments.backbone_overrides,
                attn_implementation=attention,
            )
        return model, tokenizer
    source = {"revision": model_config.model_revision, "trust_remote_code": training.trust_remote_code}
    check_tokenizer_files(name, "--model_name_or_path")
    tokenizer = extend(AutoTokenizer.from_pretrained(name, **source))
    if arguments.dry_run:
        config = AutoConfig.from_pretrained(name, **source, **(fields or {}))
        dtype = config.dtype if model_config.dtype == "auto" else getattr(torch, model_config.dtype or "float32")
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        check_positions(model, name, training.max_length)
        return model, tokenizer
    quantization = get_quantization_config(model_config)
    if quantization is not None:
        # Quantised weights cannot be moved afterwards: each process loads onto its own device.
        source |= {"quantization_config": quantization, "device_map": {"": PartialState().device}}
    source |= {"attn_implementation": attention, **(fields or {})}
    model = AutoModelForCausalLM.from_pretrained(name, dtype=model_config.dtype or "auto", **source)
    check_backbone(model, name, training.max_length)
    mend_generation_config(model, name)
    return model, tokenizer


def attention_kernel(model_config: ModelConfig, training: LanguageModelTrainingConfig) -> str | None:
    """``--attn_implementation``, or what is fastest where nobody chose; ``None``: transformers' default.

    In bf16 on CPUs a training step takes less time with eager attention than with PyTorch's fused kernel.
    """
    chosen = model_config.attn_implementation
    if chosen is None and training.bf16 and training.device.type == "cpu":
        logger.info("bf16 on the CPU: attention is eager (--attn_implementation sdpa is the fused one)")
        return "eager"
    return chosen


def check_backbone(model, name: str, max_length: int) -> None:
    """Refuse what cannot be trained: a model that sees the future or overflows, or rows longer than its positions.

    Raises:
        ValueError: names the model, and the option to change.
    """
    check_positions(model, name, max_length)
    if is_deepspeed_zero3_enabled():  # its weights are spread over the processes: no forward pass yet
        return
    first, second = torch.tensor([[1, 2, 3], [1, 2, 4]], device=model.device)
    model.eval()
    with torch.no_grad():
        states = [model.base_model(input_ids=ids.unsqueeze(0)).last_hidden_state[0] for ids in (first, second)]
    if not all(bool(state.isfinite().all()) for state in states):
        if model.dtype == torch.float16:
            why = "float16 ends at 65,504 and overflows in this model: load it with --dtype bfloat16 or float32"
        else:
            why = "its weights are damaged, or hold such values themselves"
        raise ValueError(f"{name} computes values that are infinite or no numbers (NaN) in {model.dtype}: {why}")
    states = [state[:2] for state in states]  # before the token in which they differ
    if not torch.allclose(*states, atol=1e-3):
        raise ValueError(
            f"{name} is no causal language model: what a token reads depends on tokens after it, so it would see the "
            "answers it is trained to give (BERT-like models: set is_decoder in their config)"
        )


def check_positions(model, name: str, max_length: int) -> None:
    """Refuse rows longer than a model's positions.

    Raises:
        ValueError: names the model, and the option to change.
    """
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if positions is not None and max_length > positions:
        raise ValueError(f"--max_length {max_length} is longer than the {positions} positions of {name}")
