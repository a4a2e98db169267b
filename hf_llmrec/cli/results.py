"""Describes a run for its result file and for trackers: options, data, versions and hardware."""

from __future__ import annotations

import dataclasses
import enum
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.trainer_pt_utils import get_model_param_count

from ..data.interactions import RecDataset
from ..training.machine_config import accelerator_name
from ..training.tracked_config import TrackedConfig

# Input files of a run, named without their folders.
_FILES = {"external_embeddings", "text_embeddings"}
# Options that name places on one machine, or do not affect the results.
_PLACES = {
    *("output_dir", "dataset", "index", "model_name_or_path", "export_embeddings", "teacher_dir"),
    *("resume", "cpu_threads", "hub_token", "disable_tqdm"),
}


def run_facts() -> dict[str, Any]:
    """Versions of packages, and the hardware."""
    packages = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "hf_llmrec")
    hardware = {"machine": platform.machine(), "torch_threads": torch.get_num_threads()}
    accelerator = accelerator_name()
    if accelerator is not None:
        hardware["gpu"] = accelerator
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    return {"versions": versions, "hardware": hardware}


def changed_options(options: Any, defaults: Any) -> dict[str, Any]:
    """The options that differ from their defaults, as JSON values.

    Options that name places on the machine are left out. A base model is named by the last part of its path.

    Args:
        options: a dataclass.
        defaults: an object of the same class.
    """
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value, default = getattr(options, field.name), getattr(defaults, field.name)
        if field.name == "model_name_or_path" and value:
            changed["base_model"] = value if not Path(value).exists() else Path(value).name
        elif field.name == "text_encoder" and value and value != default:
            changed[field.name] = value if not Path(value).exists() else Path(value).name
        elif field.name in _FILES and value:
            changed[field.name] = Path(value).name
        elif field.name not in _PLACES and value != default:
            changed[field.name] = value.value if isinstance(value, enum.Enum) else value
    return changed


def describe_run(
    training: TrackedConfig,
    method: str,
    dataset: RecDataset,
    data_facts: dict[str, Any],
    options: dict[str, Any],
    model: nn.Module,
) -> None:
    """Report to trackers (``--report_to``) what the training's own options do not contain.

    Args:
        training: the trainer's options, which pass it on.
        method: the recommender's method, such as ``lcrec``.
        dataset: what the model is trained on.
        data_facts: facts about the data and its split, as in `DatasetArguments.data_facts`.
        options: options of the command that differ from their defaults.
        model: the model as it is trained, with its adapters.
    """
    training.describe(
        method=method,
        data={"name": dataset.name, "users": dataset.num_users, "items": dataset.num_items, **data_facts},
        model={
            "parameters": get_model_param_count(model),
            "trained": get_model_param_count(model, trainable_only=True),
        },
        options=options,
        **run_facts(),
    )
