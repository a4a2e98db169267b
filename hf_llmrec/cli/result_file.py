"""The result file of a model, which can be committed and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..data.files import read_json
from ..data.recommender_folder import TRAINING_REPORT
from ..evaluation.metrics import metric_columns


def result_record(evaluation: dict[str, Any], model: str) -> dict[str, Any]:
    """The contents of a model's result file: its metrics, and its training if the model's folder has a report of it.

    Args:
        evaluation: the report of ``evaluate``.
        model: recommender folder, or another name of a model.
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
