"""Rankings of item ids, as Hugging Face's evaluate hands them over, and the metric modules that read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .metrics import target_ranks

INPUTS = """
Args:
    predictions: per user a list of item ids (strings, or integers from 0), best first, none twice. Shorter lists may
        be filled up with "" or -1.
    references: per user the id of the held-out item.
    k: cut-off, 10 by default. Every list must have k entries, padding counted.
"""
MODULES = ("hit_rate", "ndcg")


def ranking_features(datasets: ModuleType) -> list[Any]:
    """The two spellings of a batch: ids as strings, or as integers.

    Args:
        datasets: the module, which is imported late.
    """
    return [
        datasets.Features({"predictions": datasets.List(datasets.Value(kind)), "references": datasets.Value(kind)})
        for kind in ("int64", "string")
    ]


def ranks_of(predictions: Sequence[Sequence[Any]], references: Sequence[Any], k: int) -> np.ndarray:
    """int64 (n,), 0-based rank of every reference, -1 for a miss.

    Args:
        predictions: per user its item ids, best first; at least k entries, padding counted.
        references: per user the id of the held-out item.
        k: cut-off.

    Raises:
        ValueError: a list with fewer than k entries, an item twice, or a reference that is padding.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ValueError(f"k must be a positive integer, got {k!r}")
    short = next((row for row, items in enumerate(predictions) if len(items) < k), None)
    if short is not None:
        raise ValueError(f"prediction {short} has {len(predictions[short])} entries, k is {k}: fill up with '' or -1")
    number: dict[Any, int] = {"": -1, -1: -1}
    rows = np.array([[number.setdefault(item, len(number)) for item in items[:k]] for items in predictions])
    targets = np.array([number.setdefault(item, len(number)) for item in references])
    return target_ranks(rows.reshape(len(targets), k), targets)


def load_metric(name: str):
    """``hit_rate`` or ``ndcg`` as a module of Hugging Face's evaluate.

    Args:
        name: which of the two.

    Raises:
        ValueError: another name.

    Example:
        ```python
        ndcg = load_metric("ndcg")
        ndcg.compute(predictions=[["b", "a"], ["c", "b"]], references=["a", "x"], k=2)  # {"ndcg@2": 0.3155}
        ```
    """
    import evaluate

    if name not in MODULES:
        raise ValueError(f"metric must be one of {MODULES}, got {name!r}")
    return evaluate.load(str(Path(__file__).parent / "modules" / name))
