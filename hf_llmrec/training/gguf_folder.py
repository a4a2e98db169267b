"""GGUF files as model folders that can be trained."""

from __future__ import annotations

import copy
import importlib.util
import os
from pathlib import Path
from typing import cast

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from ..data.files import staged


def save_gguf_as_folder(
    gguf_file: str | os.PathLike, output_dir: str | os.PathLike, dtype: torch.dtype = torch.bfloat16
) -> Path:
    """Write the language model of a GGUF file as a model folder, with dequantized weights and its tokenizer.

    transformers reads GGUF files, but refuses to save such a model. The weights stay as they were rounded for the file:
    a model from 4-bit weights is not the one that its authors published.

    Args:
        gguf_file: the file; a model that is split into several must be joined first. Needs the package ``gguf``.
        output_dir: the folder; written when everything has been read.
        dtype: precision of the saved weights.

    Returns:
        ``output_dir``, for ``--model_name_or_path``.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: ``gguf`` is not installed.
        ValueError: an architecture that transformers does not read from GGUF, or a file whose tensors are not all
            those of the architecture.

    Example:
        ```python
        save_gguf_as_folder("SmolLM2-135M-Instruct.Q4_1.gguf", "models/SmolLM2-135M-Instruct")
        ```
    """
    file = Path(gguf_file)
    if not file.is_file():
        raise FileNotFoundError(f"gguf_file: there is no {file}")
    if importlib.util.find_spec("gguf") is None:
        raise ImportError(f"gguf_file: reading {file} needs the package gguf: pip install gguf")
    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    read = cast(PreTrainedModel, AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32))
    config = copy.deepcopy(read.config)
    # Otherwise the model counts as quantized and cannot be saved.
    config.__dict__.pop("quantization_config", None)
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    try:
        model.load_state_dict(read.state_dict())
    except RuntimeError as error:
        raise ValueError(f"gguf_file: {file} does not have the tensors of {type(model).__name__}: {error}") from error
    model.tie_weights()
    model.generation_config = read.generation_config
    with staged(output_dir) as staging:
        model.save_pretrained(staging)
        tokenizer.save_pretrained(staging)
    return Path(output_dir)
