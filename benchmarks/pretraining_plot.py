"""The plot of `pretraining.py`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_llmrec.data.files import staged

PLOT_FILE = "pretraining.png"


def save_plot(arms: Mapping[str, Any], folder: str | Path) -> Path:
    """Write ``pretraining.png``: validation NDCG@10 over the tokens that were read, and over minutes of training.

    Args:
        arms: by name, each with its ``curve`` and ``learning_rate``.
        folder: where to write it.

    Returns:
        path of the image.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    for name, arm in arms.items():
        _, tokens, seconds, ndcg, _ = zip(*arm["curve"], strict=True)
        label = f"{name} (learning rate {arm['learning_rate']:g})"
        panels[0].plot([each / 1e6 for each in tokens], ndcg, marker=".", label=label)
        panels[1].plot([each / 60 for each in seconds], ndcg, marker=".", label=label)
    panels[0].set_xlabel("million tokens read")
    panels[1].set_xlabel("minutes of training, without evaluations")
    panels[0].set_ylabel("validation NDCG@10, codes alone")
    panels[1].legend(fontsize=8, frameon=False)
    for axis in panels:
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    with staged(folder) as staging:
        figure.savefig(staging / PLOT_FILE, dpi=120)
    return Path(folder) / PLOT_FILE
