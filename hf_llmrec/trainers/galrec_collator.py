"""Batches of GAL-Rec's examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

# Padding is never seen: sequences are padded on the right, and attention is causal.
_PADDING = {"input_ids": 0, "labels": -100, "user_items": -1}
_PAIR_LISTS = ("known_items", "known_users", "item_known_users")
_PAIR_SCALARS = ("user", "item", "has_pair", "has_audience")


class GALRecCollator:
    """Pads rows of `hf_llmrec.prompts.galrec_examples` on the right.

    Returns ``input_ids``, ``labels``, ``user_items``, int64 (n, longest), and where rows have pairs ``segments``:
    ``own_ids``, ``item_ids``, ``item_text_labels``, ``audience_ids``, and ``pairs``: the fields of
    `hf_llmrec.losses.PairBatch`.
    """

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = {name: _padded(rows, name, value) for name, value in _PADDING.items()}
        if "own_ids" in rows[0]:
            names = {"own_ids": 0, "item_ids": 0, "item_text_labels": -100, "audience_ids": 0}
            batch["segments"] = {name: _padded(rows, name, value) for name, value in names.items()}
            lists = {name: _padded(rows, name, -1) for name in _PAIR_LISTS}
            user, item, has_pair, has_audience = (torch.tensor([row[name] for row in rows]) for name in _PAIR_SCALARS)
            batch["pairs"] = {"users": user, "items": item, "has_pair": has_pair, "has_audience": has_audience, **lists}
        return batch


def _padded(rows: list[dict[str, Any]], name: str, value: int) -> torch.Tensor:
    """int64 (n, longest), at least one column."""
    padded = np.full((len(rows), max(1, max(len(row[name]) for row in rows))), value, dtype=np.int64)
    for number, row in enumerate(rows):
        padded[number, : len(row[name])] = row[name]
    return torch.from_numpy(padded)
