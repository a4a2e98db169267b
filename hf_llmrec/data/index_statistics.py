"""Statistics of the codes of an item index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def count_collisions(codes: np.ndarray) -> int:
    """Number of items that share all their codes with another item.

    Args:
        codes: int (n, levels), codes of the items.
    """
    if not len(codes):
        return 0
    _, inverse, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    return int((counts[inverse.ravel()] > 1).sum())


def code_statistics(codes: np.ndarray, codebook_sizes: Sequence[int]) -> dict[str, Any]:
    """Structure of the codes, see `ItemIndex.report`.

    Args:
        codes: int (n, levels), codes of the items.
        codebook_sizes: number of codes per level.
    """
    used, entropy, prefixes, fan_mean, fan_max = [], [], [], [], []
    parents = 1
    for level, size in enumerate(codebook_sizes):
        counts = np.bincount(codes[:, level], minlength=size)
        share = counts[counts > 0] / max(counts.sum(), 1)
        used.append(int((counts > 0).sum()))
        entropy.append(float(-(share * np.log2(share)).sum()))
        distinct = np.unique(codes[:, : level + 1], axis=0)
        children = np.unique(distinct[:, :level], axis=0, return_counts=True)[1] if level else np.array([len(distinct)])
        prefixes.append(len(distinct))
        fan_mean.append(float(len(distinct) / max(parents, 1)))
        fan_max.append(int(children.max()) if children.size else 0)
        parents = len(distinct)
    return {
        "num_items": len(codes),
        "codebook_sizes": list(codebook_sizes),
        "collisions": count_collisions(codes),
        "codes_used": used,
        "entropy_bits": entropy,
        "prefixes": prefixes,
        "fan_out_mean": fan_mean,
        "fan_out_max": fan_max,
    }
