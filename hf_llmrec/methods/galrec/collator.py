"""Batches of GAL-Rec's examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

# No token sees the padding: sequences are padded on the right, and attention is causal.
_PADDING = {"input_ids": 0, "labels": -100, "user_items": -1}
_PAIR_LISTS = ("known_items", "known_users", "item_known_users")
_PAIR_SCALARS = ("user", "item", "has_pair", "has_audience")
# For a user and an earlier item, only E_u^0 and E_t^0 are compared.
_EARLIER = {"has_pair": True, "has_audience": False, "known_users": np.zeros(0, dtype=np.int64)}


class GALRecCollator:
    """Collate rows of `hf_llmrec.methods.galrec.rows`, padded on the right.

    A batch holds ``input_ids``, ``labels`` and ``user_items``, int64 (n, longest), and, if the rows have pairs,

    - ``pairs``, the fields of `PairBatch`: for each row its earlier pairs, then that of the target;
    - ``segments``: ``own_ids`` and ``own_items`` of every pair; ``audience_ids`` of every row; ``item_ids`` and
      ``item_text_labels`` of every row's target, then of every other item once; and ``item_places``, the place of each
      pair's item among them.
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
            # Omitted if every pair is that of an example: there is nothing to select then.
            **({"examples": torch.tensor(examples)} if len(pairs) > len(rows) else {}),
            **{name: _padded(pairs, name, -1) for name in _PAIR_LISTS},
        },
    }


def _padded(rows: list[dict[str, Any]], name: str, value: int) -> torch.Tensor:
    """The lists ``name`` of all rows, int64 (n, longest), at least one column."""
    padded = np.full((len(rows), max(1, max(len(row[name]) for row in rows))), value, dtype=np.int64)
    for number, row in enumerate(rows):
        padded[number, : len(row[name])] = row[name]
    return torch.from_numpy(padded)
