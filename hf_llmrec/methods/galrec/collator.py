"""Batches of GAL-Rec's examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

# Padding is never seen: sequences are padded on the right, and attention is causal.
_PADDING = {"input_ids": 0, "labels": -100, "user_items": -1}
_PAIR_LISTS = ("known_items", "known_users", "item_known_users")
_PAIR_SCALARS = ("user", "item", "has_pair", "has_audience")
# Of a user and an earlier item only E_u^0 and E_t^0 are compared.
_EARLIER = {"has_pair": True, "has_audience": False, "known_users": np.zeros(0, dtype=np.int64)}


class GALRecCollator:
    """Pads rows of `hf_llmrec.methods.galrec.rows` on the right.

    Returns ``input_ids``, ``labels``, ``user_items``, int64 (n, longest), and where rows have pairs

    - ``pairs``, the fields of `PairBatch`: row by row the earlier pairs, then the target's;
    - ``segments``: ``own_ids`` with ``own_items``, of every pair; ``audience_ids``, of every row; ``item_ids`` and
      ``item_text_labels``, of every row's target and then of every other item once, and ``item_places``, which of them
      each pair has.
    """

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = {name: _padded(rows, name, value) for name, value in _PADDING.items()}
        if "own_ids" in rows[0]:
            batch |= _pairs(rows)
        return batch


def _pairs(rows: list[dict[str, Any]]) -> dict[str, dict[str, torch.Tensor]]:
    pairs, segments, places, examples = [], list(rows), [], []
    others: dict[int, int] = {}
    for number, row in enumerate(rows):
        for earlier in row["earlier_pairs"]:
            pairs.append({"user": row["user"], "own_ids": row["own_ids"], **_EARLIER, **earlier})
            if earlier["item"] not in others:
                others[earlier["item"]] = len(segments)
                segments.append({**earlier, "item_text_labels": np.full(len(earlier["item_ids"]), -100)})
            places.append(others[earlier["item"]])
        examples.append(len(pairs))
        places.append(number)
        pairs.append(row)
    user, item, has_pair, has_audience = (torch.tensor([pair[name] for pair in pairs]) for name in _PAIR_SCALARS)
    return {
        "segments": {
            "own_ids": _padded(pairs, "own_ids", 0),
            "own_items": _padded(pairs, "user_items", -1),
            "item_ids": _padded(segments, "item_ids", 0),
            "item_text_labels": _padded(segments, "item_text_labels", -100),
            "item_places": torch.tensor(places),
            "audience_ids": _padded(rows, "audience_ids", 0),
        },
        "pairs": {
            "users": user,
            "items": item,
            "has_pair": has_pair,
            "has_audience": has_audience,
            # Left out where every pair is an example's: nothing has to be picked then.
            **({"examples": torch.tensor(examples)} if len(pairs) > len(rows) else {}),
            **{name: _padded(pairs, name, -1) for name in _PAIR_LISTS},
        },
    }


def _padded(rows: list[dict[str, Any]], name: str, value: int) -> torch.Tensor:
    """int64 (n, longest), at least one column."""
    padded = np.full((len(rows), max(1, max(len(row[name]) for row in rows))), value, dtype=np.int64)
    for number, row in enumerate(rows):
        padded[number, : len(row[name])] = row[name]
    return torch.from_numpy(padded)
