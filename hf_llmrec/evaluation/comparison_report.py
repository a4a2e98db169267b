"""A comparison as Markdown and as a plot."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data.files import staged
from .metrics import METRIC_NAMES, metric_columns

PLOT_FILE = "comparison.png"
INK, BAR, ERROR = "#333333", "#4c72b0", "#222222"


def markdown_report(report: Mapping[str, Any]) -> str:
    """Two tables (metrics with differences to the first model, groups of cases) and the verdict in words.

    Args:
        report: what ``comparison.json`` holds.
    """
    models: Mapping[str, Any] = report["models"]
    first = next(iter(models))
    lines = [f"# {report['dataset']}: {report['split']}, {report['num_users']} users, {report['num_items']} items", ""]
    lines += report["in_words"] + [""] if report["in_words"] else []
    columns = metric_columns(models[first]["metrics"])
    lines += _table(
        ["model", *map(heading, columns), f"NDCG@10 against {first}", "coverage", "users/s"],
        [
            [
                name,
                *(f"{model['metrics'][metric]:.4f}" for metric in columns),
                _difference(model["against"].get(first, {}).get("ndcg@10")),
                f"{model['catalogue_coverage']:.3f}",
                f"{model['users_per_second']:.0f}",
            ]
            for name, model in models.items()
        ],
    )
    groups = report["groups"]
    lines += ["", "NDCG@10 by group of cases:", ""]
    counts = models[first]["groups"]
    lines += _table(
        ["model", *(f"{group} ({counts[group]['num_users']})" for group in groups)],
        [[name, *(_number(model["groups"][group]) for group in groups)] for name, model in models.items()],
    )
    lines += ["", *(f"- {group}: {note}" for group, note in groups.items())]
    lines += ["", "Which model is better where:", ""] if report.get("by_group") else []
    lines += [f"- {sentence}" for sentence in report.get("by_group", [])]
    lines += [
        "",
        f"{report['split']} users, {report['protocol']}, full ranking, seen items "
        f"{'masked' if report['mask_seen'] else 'not masked'}"
        f"{', every item of the period relevant' if report.get('targets') == 'all' else ''}. "
        "Intervals: 95 %, paired bootstrap over users, "
        f"{report['bootstrap_samples']} samples.",
    ]
    return "\n".join(lines) + "\n"


def heading(metric: str) -> str:
    """A metric as tables call it: ``HR@10`` for ``hit_rate@10``.

    Args:
        metric: such as ``ndcg@10``.
    """
    name, _, cutoff = metric.partition("@")
    return f"{'HR' if name == 'hit_rate' else 'Recall' if name == 'recall' else name.upper()}@{cutoff}"


HEADINGS = {name: heading(name) for name in METRIC_NAMES}


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    clean = [[cell.replace("|", "\\|") for cell in row] for row in [header, *rows]]
    return [
        "| " + " | ".join(clean[0]) + " |",
        "| --- |" + " ---: |" * (len(header) - 1),
        *("| " + " | ".join(row) + " |" for row in clean[1:]),
    ]


def _difference(paired: Mapping[str, Any] | None) -> str:
    if paired is None:
        return ""
    return f"{paired['difference']:+.4f} [{paired['low']:+.4f}, {paired['high']:+.4f}] {paired['verdict']}"


def _number(group: Mapping[str, Any]) -> str:
    return f"{group['ndcg@10']:.4f}" if group["num_users"] else "no case"


def save_comparison_plot(report: Mapping[str, Any], folder: str | os.PathLike) -> Path:
    """Write ``comparison.png``: NDCG@10 with its interval per model, and per group of cases.

    Args:
        report: what ``comparison.json`` holds.
        folder: where to write it.

    Returns:
        path of the image.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    models = report["models"]
    names = list(models)
    sizes = models[names[0]]["groups"]  # all models rank the same cases
    groups = [group for group in report["groups"] if sizes[group]["num_users"]]
    figure = Figure(figsize=(11, 0.45 * len(names) + 2.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.6])
    place = np.arange(len(names))[::-1]
    values = np.array([models[name]["metrics"]["ndcg@10"] for name in names])
    bounds = np.array([models[name]["interval"]["ndcg@10"] for name in names])
    errors = np.abs(bounds - values[:, None]).T
    left.barh(place, values, color=BAR, height=0.6)
    left.errorbar(values, place, xerr=errors, fmt="none", ecolor=ERROR, capsize=3, linewidth=1)
    left.set_yticks(place, names)
    left.set_xlabel("NDCG@10, 95 % interval")
    height = 0.8 / max(len(names), 1)
    rows = np.arange(len(groups))[::-1]
    for number, name in enumerate(names):
        by_group = [models[name]["groups"][group]["ndcg@10"] for group in groups]
        right.barh(rows + 0.4 - (number + 0.5) * height, by_group, height=height, label=name)
    right.set_yticks(rows, groups)
    right.set_xlabel("NDCG@10 by group of cases")
    right.legend(fontsize=8, frameon=False)
    for axis in (left, right):
        axis.tick_params(labelsize=9, colors=INK)
        axis.spines[["top", "right"]].set_visible(False)
    with staged(folder) as staging:
        figure.savefig(staging / PLOT_FILE, dpi=120)
    return Path(folder) / PLOT_FILE
