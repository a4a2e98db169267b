"""Result files: what a run was, and what came out, in one JSON that can be committed and compared."""

from __future__ import annotations

import dataclasses
import enum
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data.files import read_json
from ..data.interactions import RecDataset
from ..data.recommender_folder import TRAINING_REPORT
from ..evaluation.metrics import metric_columns
from ..training.machine_config import accelerator_name
from ..training.spread_weights import num_values
from ..training.tracked_config import TrackedConfig

# Files that a run was made from, named without their folders.
_FILES = {"external_embeddings", "text_embeddings"}
# Where things lie on one machine says nothing about a run.
_PLACES = {
    *("output_dir", "dataset", "index", "model_name_or_path", "export_embeddings", "teacher_dir"),
    *("resume", "cpu_threads", "hub_token", "disable_tqdm"),
}


def run_facts() -> dict[str, Any]:
    """Versions and hardware."""
    packages = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "hf_llmrec")
    hardware = {"machine": platform.machine(), "torch_threads": torch.get_num_threads()}
    accelerator = accelerator_name()
    if accelerator is not None:
        hardware["gpu"] = accelerator
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    return {"versions": versions, "hardware": hardware}


def changed_options(options: Any, defaults: Any) -> dict[str, Any]:
    """Options, a dataclass, that differ from those of another one of its class, as JSON values.

    A base model is named by the last part of its path.
    """
    found: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value, default = getattr(options, field.name), getattr(defaults, field.name)
        if field.name == "model_name_or_path" and value:
            found["base_model"] = value if not Path(value).exists() else Path(value).name
        elif field.name in _FILES and value:
            found[field.name] = Path(value).name
        elif field.name not in _PLACES and value != default:
            found[field.name] = value.value if isinstance(value, enum.Enum) else value
    return found


def describe_run(
    training: TrackedConfig,
    method: str,
    dataset: RecDataset,
    data_facts: dict[str, Any],
    options: dict[str, Any],
    model: nn.Module,
) -> None:
    """Tell trackers (``--report_to``) what the training's own options do not say.

    Args:
        data_facts: how the data is split, `DatasetArguments.data_facts`. options: of the command, that were set.
        model: as it is trained, with its adapters.
    """
    sizes = [(num_values(parameter), parameter.requires_grad) for parameter in model.parameters()]
    training.describe(
        method=method,
        data={"name": dataset.name, "users": dataset.num_users, "items": dataset.num_items, **data_facts},
        model={
            "parameters": sum(size for size, _ in sizes),
            "trained": sum(size for size, is_trained in sizes if is_trained),
        },
        options=options,
        **run_facts(),
    )


def result_record(evaluation: dict[str, Any], model: str) -> dict[str, Any]:
    """The result file of a model: its metrics, and its training where the model's folder tells of it.

    Args:
        evaluation: what ``evaluate`` reports.
        model: recommender folder, or a name.
    """
    report_file = Path(model) / TRAINING_REPORT
    training = read_json(report_file) if report_file.is_file() else {}
    record = {
        "metrics": {name: evaluation[name] for name in (*metric_columns(evaluation), "num_users")},
        "config": training.get("config", {}),
        "seed": training.get("seed"),
        "versions": training.get("versions", evaluation["versions"]),
        "hardware": training.get("hardware", evaluation["hardware"]),
        "duration_s": training.get("duration_s", 0.0),
    }
    if training:
        record["validation"] = training["validation"]
    named = {*record["metrics"], "versions", "hardware", "duration_s"}
    record["evaluation"] = {name: value for name, value in evaluation.items() if name not in named}
    record["evaluation"]["hardware"] = evaluation["hardware"]
    record["evaluation"]["duration_s"] = evaluation["duration_s"]
    return record
