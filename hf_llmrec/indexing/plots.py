"""Plots of an item index."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..data.files import staged
from ..data.item_index import ItemIndex

PLOT_FILE = "item_index.png"
INK, BAR = "#333333", "#4c72b0"


def save_plots(index: ItemIndex, folder: str | os.PathLike) -> Path:
    """Plot the number of items per code at every level and the number of children per prefix.

    Args:
        index: the item index.
        folder: folder to write ``item_index.png`` to.

    Returns:
        The path of the image.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * index.levels, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, index.levels, squeeze=False)
    report = index.report()
    for level, size in enumerate(index.codebook_sizes):
        counts = np.sort(np.bincount(index.codes[:, level], minlength=size))[::-1]
        top = axes[0][level]
        top.bar(np.arange(size), counts, width=1.0, color=BAR)
        top.set_title(
            f"level {'abcdefghijklmnopqrstuvwxyz'[level]}: {report['codes_used'][level]} of {size} codes", fontsize=10
        )
        top.set_xlabel("code, by use")
        distinct = np.unique(index.codes[:, : level + 1], axis=0)
        children = np.unique(distinct[:, :level], axis=0, return_counts=True)[1] if level else np.array([len(distinct)])
        bottom = axes[1][level]
        bottom.hist(children, bins=min(40, int(children.max())), color=BAR)
        bottom.set_yscale("log")
        bottom.set_xlabel("children of a prefix")
        for axis in (top, bottom):
            axis.tick_params(labelsize=8, colors=INK)
            axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("items")
    axes[1][0].set_ylabel("prefixes (log)")
    with staged(folder) as staging:
        figure.savefig(staging / PLOT_FILE, dpi=120)
    return Path(folder) / PLOT_FILE
