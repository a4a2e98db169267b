"""The table and the plot of an ablation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.files import staged, write_text

TABLE_FILE, PLOT_FILE = "ablation.md", "ablation.png"


def summarize(runs: Mapping[str, Sequence[Mapping[str, float]]], measures: Sequence[str]) -> dict[str, Any]:
    """Mean and standard deviation over seeds, per variant and measure, and the difference to the first variant.

    Args:
        runs: by variant, one dictionary of measures per seed, with the seeds in the same order for all variants.
        measures: names of the measures to summarize.

    Returns:
        by variant, ``{measure: {"mean", "std", "values", "difference", "difference_std"}}``. Standard deviations are
        sample deviations (divisor n - 1), 0 for a single seed. A difference is the mean over seeds of variant minus
        first variant.
    """
    first = next(iter(runs))
    summary: dict[str, Any] = {}
    for name, each in runs.items():
        summary[name] = {}
        for measure in measures:
            values = np.array([run[measure] for run in each], dtype=np.float64)
            differences = values - np.array([run[measure] for run in runs[first]][: len(values)])
            deviations = [float(v.std(ddof=1)) if len(v) > 1 else 0.0 for v in (values, differences)]
            summary[name][measure] = {
                "mean": float(values.mean()),
                "std": deviations[0],
                "values": values.tolist(),
                "difference": float(differences.mean()),
                "difference_std": deviations[1],
            }
    return summary


def ablation_table(summary: Mapping[str, Any], measures: Sequence[str], seeds: Sequence[int]) -> str:
    """A Markdown table with variants as rows and measures as columns.

    Args:
        summary: from `summarize`.
        measures: names of the columns.
        seeds: named in the caption.
    """
    first = next(iter(summary))
    header = ["variant", *(f"{measure} (to {first})" for measure in measures)]
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * len(measures)]
    for name, per_measure in summary.items():
        cells = []
        for measure in measures:
            value = per_measure[measure]
            deviation = f" ± {value['std']:.4f}" if len(value["values"]) > 1 else ""
            cells.append(
                f"{value['mean']:.4f}{deviation}" + ("" if name == first else f" ({value['difference']:+.4f})")
            )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"Mean ± standard deviation over the seeds {', '.join(map(str, seeds))}.", ""])


def save_ablation(report: Mapping[str, Any], folder: str | os.PathLike) -> None:
    """Write ``ablation.md`` and ``ablation.png``.

    Args:
        report: ``seeds``, ``measures`` and, from `summarize`, ``summary``.
        folder: where the files go.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    summary, measures = report["summary"], report["measures"]
    write_text(Path(folder) / TABLE_FILE, ablation_table(summary, measures, report["seeds"]))
    names = list(summary)
    figure = Figure(figsize=(4.2 * len(measures) + 1.5, 0.36 * len(names) + 1.2), layout="constrained")
    FigureCanvasAgg(figure)
    place = np.arange(len(names))[::-1]
    for axis, measure in zip(np.atleast_1d(figure.subplots(1, len(measures), sharey=True)), measures, strict=True):
        means = [summary[name][measure]["mean"] for name in names]
        errors = [summary[name][measure]["std"] for name in names]
        axis.errorbar(means, place, xerr=errors, fmt="o", color="#2a6f97", ecolor="#9db4c0", capsize=3, markersize=5)
        axis.axvline(means[0], color="#9db4c0", linewidth=1, linestyle=":")
        axis.set_yticks(place, names)
        axis.set_xlabel(measure)
        axis.tick_params(labelsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    with staged(folder) as staging:
        figure.savefig(staging / PLOT_FILE, dpi=120)
