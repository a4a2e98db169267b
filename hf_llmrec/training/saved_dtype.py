"""Conversion of saved weights to another precision than that of training."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ..data.files import read_json, write_json


def cast_saved_model(folder: str | os.PathLike, dtype: torch.dtype) -> None:
    """Cast the floating-point tensors of a saved model, file by file, in place.

    Full tuning keeps weights in float32; after the cast a published model is as large as the one it was tuned from.

    Args:
        folder: a folder written by ``save_pretrained``.
        dtype: precision of the tensors afterwards.
    """
    folder = Path(folder)
    total = 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as handle:
            metadata = handle.metadata()
        tensors = {
            name: value.to(dtype) if value.is_floating_point() else value for name, value in load_file(file).items()
        }
        total += sum(value.numel() * value.element_size() for value in tensors.values())
        new = file.with_name(f".{file.name}")
        save_file(tensors, new, metadata)
        new.replace(file)
    shards = folder / "model.safetensors.index.json"
    if shards.exists():
        index = read_json(shards)
        index["metadata"]["total_size"] = total
        write_json(shards, index)
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", _with_dtype(config, str(dtype).removeprefix("torch.")))


def _with_dtype(config: dict, name: str) -> dict:
    """A configuration with ``name`` as its precision, and as that of the configurations inside it."""
    return {
        key: name if key == "dtype" else _with_dtype(value, name) if isinstance(value, dict) else value
        for key, value in config.items()
    }
