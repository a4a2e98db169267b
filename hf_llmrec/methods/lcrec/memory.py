"""LC-Rec's memory: an item-kNN score from the training interactions, added to items during the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_matrix, csr_matrix

from ...data.co_occurrence import CoOccurrence


@dataclass(frozen=True)
class LCRecMemory:
    """Item-item co-occurrence scores that are added to LC-Rec's log-probabilities.

    After a history, item i gets ``weight * log(1 + s_i / scale)``, where s_i sums the similarities of i to the items of
    the full history, see `CoOccurrence.scores`. Items of the history itself get no such score; those of them that are
    in the prompt get ``repeat_bias``.

    Args:
        co_occurrence: of the training interactions.
        weight: in nats, positive.
        scale: similarity at which the score is ``weight * log(2)``, positive.
        decay: weight of an item of a history relative to the one after it, in [0, 1].
        repeat_bias: in nats, added to the items in the prompt on top of the recommender's ``repeat_bias``: it
            compensates for what all other items get.

    Raises:
        ValueError: a value out of range.
    """

    co_occurrence: CoOccurrence
    weight: float
    scale: float
    decay: float
    repeat_bias: float = 0.0

    def __post_init__(self):
        if self.weight <= 0 or self.scale <= 0 or not 0 <= self.decay <= 1:
            raise ValueError(
                f"weight and scale must be positive and decay in [0, 1], got {self.weight}, {self.scale}, {self.decay}"
            )

    def settings(self) -> dict[str, Any]:
        """The numbers, as JSON values; `CoOccurrence.save` writes the rest."""
        names = ("weight", "scale", "decay", "repeat_bias")
        return {name: getattr(self, name) for name in names}

    def bonus(self, histories: Sequence[np.ndarray], read: Sequence[np.ndarray]) -> csr_matrix:
        """Scores to be added to items.

        Args:
            histories: n int arrays of item rows, oldest first.
            read: the items of each history that the model reads, each once, see `LCRecRecommender.items_read`.

        Returns:
            float32 (n, num_items).
        """
        scores = without_history(self.co_occurrence.scores(histories, self.decay), histories)
        similar = np.asarray(scores.data, dtype=np.float64)
        scores.data = (self.weight * np.log1p(similar / self.scale)).astype(np.float32)
        if not self.repeat_bias:
            return scores
        rows, items = _places(read)
        repeats = np.full(len(items), self.repeat_bias, dtype=np.float32)
        return csr_matrix(scores + csr_matrix((repeats, (rows, items)), shape=scores.shape))


def without_history(scores: csr_matrix, histories: Sequence[np.ndarray]) -> csr_matrix:
    """Remove the items of each history.

    Args:
        scores: (n, num_items).
        histories: n int arrays of item rows.
    """
    rows, items = _places(histories)
    own = csr_matrix((np.ones(len(items), dtype=bool), (rows, items)), shape=scores.shape)
    kept = scores - scores.multiply(own)
    kept.eliminate_zeros()
    return csr_matrix(kept)


def _places(lists: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of lists of items in a matrix with a row per list."""
    rows = np.repeat(np.arange(len(lists)), np.array([len(each) for each in lists], dtype=np.int64))
    return rows, np.concatenate([np.zeros(0, dtype=np.int64), *lists]).astype(np.int64)


def as_tensor(bonus: np.ndarray | csr_matrix | None, rows: np.ndarray) -> torch.Tensor | None:
    """Some rows of a bonus for `recommend_items`.

    Args:
        bonus: float (n, num_items); ``None``: there is none.
        rows: int (m,), numbers of the rows.

    Returns:
        dense, or sparse (COO) for a sparse matrix.
    """
    if bonus is None or isinstance(bonus, np.ndarray):
        return None if bonus is None else torch.from_numpy(bonus[rows])
    part = coo_matrix(bonus[rows])
    places = torch.from_numpy(np.stack([part.row, part.col]).astype(np.int64))
    return torch.sparse_coo_tensor(places, torch.from_numpy(part.data), part.shape, check_invariants=True)
