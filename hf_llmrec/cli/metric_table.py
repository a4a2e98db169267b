"""Prints metrics."""

from __future__ import annotations

from ..evaluation.metrics import metric_columns


def metric_table(results: dict[str, dict[str, float]]) -> str:
    """A table for a terminal, with models as rows and metrics as columns.

    Args:
        results: metrics by model.
    """
    width = max(len(name) for name in results) + 2
    columns = metric_columns(next(iter(results.values())))
    lines = ["".ljust(width) + "".join(column.rjust(13) for column in columns) + "users".rjust(9)]
    for name, metrics in results.items():
        cells = "".join(f"{metrics[column]:13.4f}" for column in columns)
        lines.append(name.ljust(width) + cells + f"{metrics['num_users']:9d}")
    return "\n".join(lines)
