"""The language model that a recommender is built on: a given one, or a small one from scratch."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.integrations import is_deepspeed_zero3_enabled

from ..data.model_folder import check_tokenizer_files
from .backbones import BACKBONES, build_backbone
from .corpus_tokenizer import train_corpus_tokenizer
from .generation_defaults import mend_generation_config

# Options of ``from_pretrained`` that say where files lie and whether their code may run: tokenizers take them, too.
_SOURCE = ("revision", "trust_remote_code", "token", "cache_dir", "local_files_only", "subfolder")
# Those that are about weights: a configuration knows nothing of them.
_LOADING = ("attn_implementation", "quantization_config", "device_map", "low_cpu_mem_usage", "use_safetensors")


@dataclass(frozen=True)
class Backbone:
    """A language model to build on.

    Attributes:
        model: a causal language model.
        tokenizer: of the model, extended by whoever asked for it.
        is_pretrained: whether weights were loaded, not drawn.
        name: folder or Hub id, for messages.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    is_pretrained: bool
    name: str


def load_backbone(
    backbone: str | os.PathLike | PreTrainedModel,
    *,
    texts: Callable[[], Sequence[str]],
    max_length: int,
    tokenizer: PreTrainedTokenizerBase | None = None,
    extend: Callable[[PreTrainedTokenizerBase], PreTrainedTokenizerBase] = lambda tokenizer: tokenizer,
    architecture: str = "llama",
    overrides: Mapping[str, Any] | None = None,
    corpus_vocab_size: int = 4000,
    has_weights: bool = True,
    **options: Any,
) -> Backbone:
    """Load, take or make a causal language model with its tokenizer.

    Args:
        backbone: Hub id, folder, a model, or ``tiny`` or ``small``: a model from scratch, with a tokenizer that is
            trained on ``texts``. Its weights are drawn by torch's generator.
        texts: gives the training texts of that tokenizer.
        max_length: tokens of the longest row; positions of a model from scratch.
        tokenizer: of the model, where ``backbone`` is one; otherwise it is loaded.
        extend: what becomes of the tokenizer. A model from scratch is made for the extended one; a given model keeps
            its vocabulary.
        architecture, overrides: of a model from scratch, see `build_backbone`.
        corpus_vocab_size: of the tokenizer that is trained.
        has_weights: ``False``: only the model's configuration is read, and its parameters are on the device ``meta``.
        options: of ``AutoModelForCausalLM.from_pretrained``: ``dtype`` (default: as saved), ``revision``,
            ``attn_implementation``, fields of the configuration and others.

    Raises:
        ValueError: a model without a tokenizer, one that cannot be trained (see `check_backbone`), or a name that is
            neither a size nor a folder nor a Hub id.
    """
    if isinstance(backbone, PreTrainedModel):
        name = backbone.name_or_path or type(backbone).__name__
        if tokenizer is None:
            raise ValueError(f"{name} is given as a model: its tokenizer is needed, too (tokenizer=...)")
        check_backbone(backbone, name, max_length)
        mend_generation_config(backbone, name)
        return Backbone(backbone, extend(tokenizer), True, name)
    name = str(backbone)
    if name in BACKBONES:
        tokenizer = extend(train_corpus_tokenizer(texts(), vocab_size=corpus_vocab_size))
        with nullcontext() if has_weights else torch.device("meta"):
            model = build_backbone(
                name,
                tokenizer,
                architecture=architecture,
                max_length=max_length,
                overrides=overrides,
                attn_implementation=options.get("attn_implementation"),
            )
        return Backbone(model, tokenizer, False, name)
    options = {key: value for key, value in options.items() if value is not None or key not in (*_SOURCE, *_LOADING)}
    source = {key: value for key, value in options.items() if key in _SOURCE}
    if tokenizer is None:
        check_tokenizer_files(name, "--model_name_or_path")
        tokenizer = AutoTokenizer.from_pretrained(name, **source)
    tokenizer = extend(tokenizer)
    dtype = options.pop("dtype", None) or "auto"
    if not has_weights:
        fields = {key: value for key, value in options.items() if key not in (*_SOURCE, *_LOADING)}
        config = AutoConfig.from_pretrained(name, **source, **fields)
        with torch.device("meta"):
            chosen = config.dtype if dtype == "auto" else getattr(torch, str(dtype).removeprefix("torch."))
            model = AutoModelForCausalLM.from_config(config, dtype=chosen)
        check_positions(model, name, max_length)
        return Backbone(model, tokenizer, True, name)
    model = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, **options)
    check_backbone(model, name, max_length)
    mend_generation_config(model, name)
    return Backbone(model, tokenizer, True, name)


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
