"""The language model that a recommender is built on: a pretrained one, or a small one from scratch."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from ..data.model_folder import check_tokenizer_files
from .backbones import BACKBONES, build_backbone
from .corpus_tokenizer import train_corpus_tokenizer
from .first_layers import keep_first_layers
from .generation_defaults import mend_generation_config

# Options of ``from_pretrained`` about where files are and whether their code may run; tokenizers accept them, too.
SOURCE_OPTIONS = ("revision", "trust_remote_code", "token", "cache_dir", "local_files_only", "subfolder")
# Options about weights, which configurations do not accept.
_LOADING = ("attn_implementation", "quantization_config", "device_map", "low_cpu_mem_usage", "use_safetensors")


@dataclass(frozen=True)
class Backbone:
    """A language model to build on.

    Attributes:
        model: a causal language model.
        tokenizer: the model's tokenizer, as ``extend`` of `load_backbone` returned it.
        is_pretrained: whether weights were loaded; otherwise they were initialised at random.
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
    num_layers: int | None = None,
    **options: Any,
) -> Backbone:
    """Load or build a causal language model with its tokenizer.

    Args:
        backbone: Hub id, folder, a model, or ``tiny`` or ``small``: a model from scratch, with a tokenizer that is
            trained on ``texts``. Its weights are initialised from torch's random generator.
        texts: returns the training texts of that tokenizer.
        max_length: maximum length of rows in tokens; positions of a model from scratch.
        tokenizer: of the model; required where ``backbone`` is a model; default: the one saved with the model.
        extend: adds tokens to the tokenizer, or replaces it. A model from scratch is built for the extended tokenizer;
            other models keep their vocabulary.
        architecture: of a model from scratch, ``llama`` or ``qwen3``.
        overrides: config fields of a model from scratch, see `build_backbone`.
        corpus_vocab_size: maximum number of tokens of the tokenizer that is trained.
        has_weights: if ``False``, only the model's configuration is read, and its parameters are on the device
            ``meta``.
        num_layers: keep only so many layers, the first ones, see `keep_first_layers`; default: all. Of a model that is
            passed as an object, the others are removed in place.
        options: options of ``AutoModelForCausalLM.from_pretrained``: ``dtype`` (default: as saved), ``revision``,
            ``attn_implementation``, fields of the configuration and others.

    Raises:
        ValueError: a model without a tokenizer, one that cannot be trained (see `check_backbone`), a name that is
            neither a size nor a folder nor a Hub id, or ``num_layers`` that the model cannot be cut to.
    """
    if isinstance(backbone, PreTrainedModel):
        name = backbone.name_or_path or type(backbone).__name__
        if tokenizer is None:
            raise ValueError(f"{name} is given as a model: its tokenizer is needed, too (tokenizer=...)")
        _cut(backbone, num_layers, name)
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
        _cut(model, num_layers, name)
        return Backbone(model, tokenizer, False, name)
    options = {
        key: value for key, value in options.items() if value is not None or key not in (*SOURCE_OPTIONS, *_LOADING)
    }
    source = {key: value for key, value in options.items() if key in SOURCE_OPTIONS}
    if tokenizer is None:
        check_tokenizer_files(name, "--model_name_or_path")
        tokenizer = cast(PreTrainedTokenizerBase, AutoTokenizer.from_pretrained(name, **source))
    tokenizer = extend(tokenizer)
    dtype = options.pop("dtype", None) or "auto"
    if not has_weights:
        fields = {key: value for key, value in options.items() if key not in (*SOURCE_OPTIONS, *_LOADING)}
        config = AutoConfig.from_pretrained(name, **source, **fields)
        with torch.device("meta"):
            chosen = config.dtype if dtype == "auto" else getattr(torch, str(dtype).removeprefix("torch."))
            model = AutoModelForCausalLM.from_config(config, dtype=chosen)
        _cut(model, num_layers, name)
        check_positions(model, name, max_length)
        return Backbone(model, tokenizer, True, name)
    model = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, **options)
    _cut(model, num_layers, name)
    check_backbone(model, name, max_length)
    mend_generation_config(model, name)
    return Backbone(model, tokenizer, True, name)


def _cut(model: PreTrainedModel, num_layers: int | None, name: str) -> None:
    if num_layers is not None:
        keep_first_layers(model, num_layers, name)


def check_backbone(model: PreTrainedModel, name: str, max_length: int) -> None:
    """Refuse a model that is not causal or overflows, or has fewer positions than the longest row.

    Args:
        model: a language model with its weights.
        name: folder or Hub id, for messages.
        max_length: maximum length of rows in tokens.

    Raises:
        ValueError: names the model, and the option to change.
    """
    check_positions(model, name, max_length)
    if is_deepspeed_zero3_enabled():  # weights are sharded over the processes: no forward pass yet
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
    states = [state[:2] for state in states]  # those before the token in which the two inputs differ
    if not torch.allclose(*states, atol=1e-3):
        raise ValueError(
            f"{name} is no causal language model: what a token reads depends on tokens after it, so it would see the "
            "answers it is trained to give (BERT-like models: set is_decoder in their config)"
        )


def check_positions(model: PreTrainedModel, name: str, max_length: int) -> None:
    """Refuse a model with fewer positions than the longest row.

    Args:
        model: a language model, perhaps without weights.
        name: folder or Hub id, for messages.
        max_length: maximum length of rows in tokens.

    Raises:
        ValueError: names the model, and the option to change.
    """
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if positions is not None and max_length > positions:
        raise ValueError(f"--max_length {max_length} is longer than the {positions} positions of {name}")
