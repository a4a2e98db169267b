"""What `evaluate --tasks` measures and prints."""

from __future__ import annotations

from typing import Any

from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..evaluation.ranker import Ranker
from ..methods.lcrec.recommender import LCRecRecommender
from ..methods.lcrec.task_report import TaskReport
from ..training.main_process import run_on_main_process
from .evaluate_options import EvaluateArguments
from .held_out_texts import texts_to_evaluate


def task_metrics(
    arguments: EvaluateArguments, ranker: Ranker, dataset: RecDataset, split: RecSplit
) -> dict[str, Any] | None:
    """Report on the tasks, and print the report.

    Args:
        arguments: the command's options.
        ranker: the model.
        dataset: what it was trained on.
        split: what was held out.

    Returns:
        the report on the main process, ``None`` on the others.

    Raises:
        ValueError: the model is no LC-Rec, or was trained with other texts held out.
    """
    if not isinstance(ranker, LCRecRecommender):
        raise ValueError(f"--tasks is about LC-Rec models; {arguments.model} is none")
    options = (arguments.model, arguments.held_out_texts, arguments.held_out_texts_seed)
    held_out = texts_to_evaluate(*options, other_data=arguments.other_data)
    tasks = TaskReport(ranker, dataset, split, arguments.split, held_out_texts=held_out)
    report = run_on_main_process(tasks.run, "reporting on the tasks")
    if report is None:
        return None
    groups = {"held out": report["held_out"], "others": report["others"]} if held_out else {}
    for name, value in report.items():
        if not isinstance(value, dict):
            parts = [_part(label, name, group) for label, group in groups.items() if name in group]
            print("  ".join([f"{name:<38}{_number(value)}", *parts]))
    return report | (held_out.facts if held_out else {})


def _part(label: str, name: str, group: dict[str, Any]) -> str:
    return f"{label} {_number(group[name])} of {group['num_cases'][name]}"


def _number(value: float | None) -> str:
    return "no data" if value is None else f"{value:.4f}"
