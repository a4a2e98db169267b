"""Which items occur together in the training interactions: counts by user, as similarities of nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix

from .splits import RecSplit

CO_OCCURRENCE_FILE = "co_occurrence.safetensors"
# Number of rows of the item-item matrix that are computed at once.
ITEMS_AT_ONCE = 2048


@dataclass(frozen=True)
class CoOccurrence:
    """The nearest neighbours of every item by co-occurrence.

    Attributes:
        neighbors: int (num_items, width), item rows, most similar first; ``num_items`` where there are fewer.
        similarities: float32 (num_items, width), 0 where there is no neighbour.
    """

    neighbors: np.ndarray
    similarities: np.ndarray

    @property
    def num_items(self) -> int:
        """Number of items of the catalogue."""
        return len(self.neighbors)

    @classmethod
    def from_split(
        cls, split: RecSplit, num_items: int, *, num_neighbors: int = 200, shrinkage: float = 0.0, min_users: int = 1
    ) -> CoOccurrence:
        """Count the training interactions of a split.

        The similarity of i and j is ``n_ij / (sqrt(n_i n_j) + shrinkage)``, where n counts users.

        Args:
            split: its training interactions are counted; validation and test interactions are not used.
            num_items: number of items of the catalogue.
            num_neighbors: number of neighbours that are kept per item; fewer in catalogues with fewer other items.
            shrinkage: added to the denominator of the similarity, at least 0.
            min_users: pairs of items that fewer users have in common are left out.
        """
        users = split.train_users
        seen = csr_matrix(
            (np.ones(len(users), dtype=np.float32), (users, split.train_indices)), shape=(users.max() + 1, num_items)
        )
        seen.sum_duplicates()
        seen.data[:] = 1
        by_item = seen.T.tocsr()
        counts = np.asarray(seen.sum(axis=0)).ravel()
        rows = _NeighborRows(num_items, num_neighbors)
        for start in range(0, num_items, ITEMS_AT_ONCE):
            shared = (by_item[start : start + ITEMS_AT_ONCE] @ seen).tocsr()
            for row in range(shared.shape[0]):
                item = start + row
                near = shared.indices[shared.indptr[row] : shared.indptr[row + 1]]
                common = shared.data[shared.indptr[row] : shared.indptr[row + 1]]
                value = common / (np.sqrt(counts[item] * counts[near]) + shrinkage)
                rows.keep(item, near, value, common >= min_users)
        return cls(rows.neighbors, rows.similarities)

    @classmethod
    def from_transitions(
        cls, split: RecSplit, num_items: int, *, window: int = 3, num_neighbors: int = 200, min_users: int = 1
    ) -> CoOccurrence:
        """Count which items follow others in the training sequences of a split.

        The similarity of j to i is ``sum 1 / d`` over the places where j follows i after d steps, at most ``window``,
        divided by the same sum over all j.

        Args:
            split: its training interactions are counted.
            num_items: number of items of the catalogue.
            window: maximum number of steps.
            num_neighbors: number of following items that are kept per item.
            min_users: pairs that occur with fewer users are left out.
        """
        users, items = split.train_users, split.train_indices.astype(np.int64)
        firsts, seconds, steps, owners = [], [], [], []
        for step in range(1, window + 1):
            same_user = np.flatnonzero(users[step:] == users[:-step])
            firsts.append(items[same_user])
            seconds.append(items[same_user + step])
            owners.append(users[same_user])
            steps.append(np.full(len(same_user), 1.0 / step))
        first, second, owner = (np.concatenate(each) for each in (firsts, seconds, owners))
        shape = (num_items, num_items)
        sums = csr_matrix((np.concatenate(steps), (first, second)), shape=shape)
        pairs = np.unique(np.stack([first, second, owner]), axis=1)
        people = csr_matrix((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), shape=shape)
        totals = np.asarray(sums.sum(axis=1)).ravel()
        rows = _NeighborRows(num_items, num_neighbors)
        for each in (sums, people):  # which then have the same entries in the same order
            each.sum_duplicates()
        for item in np.flatnonzero(np.diff(sums.indptr)).tolist():
            place = slice(sums.indptr[item], sums.indptr[item + 1])
            value = sums.data[place] / totals[item]
            rows.keep(item, sums.indices[place], value, people.data[place] >= min_users)
        return cls(rows.neighbors, rows.similarities)

    def scores(self, histories: Sequence[np.ndarray], decay: float) -> csr_matrix:
        """Sum the similarities of items to those of histories.

        Args:
            histories: n int arrays of item rows, oldest first.
            decay: weight of an item of a history relative to the one after it, in [0, 1].

        Returns:
            float32 (n, num_items), of the neighbours only.
        """
        lengths = np.array([len(history) for history in histories], dtype=np.int64)
        items = np.concatenate([np.zeros(0, dtype=np.int64), *histories]).astype(np.int64)
        age = np.repeat(np.cumsum(lengths), lengths) - 1 - np.arange(len(items))
        weights = float(decay) ** age  # 0 ** 0 is 1: with decay 0 only the last item counts
        rows = np.repeat(np.arange(len(histories)), lengths)
        read = csr_matrix((weights, (rows, items)), shape=(len(histories), self.num_items))
        scores = csr_matrix(read @ self._matrix, dtype=np.float32)
        scores.eliminate_zeros()
        return scores

    def take(self, rows: np.ndarray) -> CoOccurrence:
        """The co-occurrences of another catalogue.

        Args:
            rows: int (m,), for each item of that catalogue its row in this one; -1 for new items, which get no
                neighbours.
        """
        new_row = np.full(self.num_items + 1, len(rows), dtype=np.int64)
        known = rows >= 0
        new_row[rows[known]] = np.flatnonzero(known)
        shape = (len(rows), self.neighbors.shape[1])
        neighbors, similarities = np.full(shape, len(rows), dtype=np.int64), np.zeros(shape, dtype=np.float32)
        neighbors[known] = new_row[self.neighbors[rows[known]]]
        similarities[known] = np.where(neighbors[known] < len(rows), self.similarities[rows[known]], 0)
        return CoOccurrence(neighbors, similarities)

    def tensors(self) -> dict[str, np.ndarray]:
        """The arrays by name, as they are saved: rows of the catalogue, no user ids."""
        return {"neighbors": self.neighbors.astype(np.int32), "similarities": self.similarities}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, np.ndarray], prefix: str = "") -> CoOccurrence:
        """The co-occurrences of saved arrays.

        Args:
            tensors: as of `tensors`.
            prefix: of their names.
        """
        return cls(tensors[f"{prefix}neighbors"].astype(np.int64), tensors[f"{prefix}similarities"])

    @cached_property
    def _matrix(self) -> csr_matrix:
        real = self.neighbors < self.num_items
        indptr = np.concatenate([[0], np.cumsum(real.sum(1))])
        return csr_matrix((self.similarities[real], self.neighbors[real], indptr), shape=(self.num_items,) * 2)


class _NeighborRows:
    """Collects the neighbours of items, the most similar ones of each."""

    def __init__(self, num_items: int, num_neighbors: int):
        self._width = min(num_neighbors, max(num_items - 1, 1))
        self.neighbors = np.full((num_items, self._width), num_items, dtype=np.int64)
        self.similarities = np.zeros((num_items, self._width), dtype=np.float32)

    def keep(self, item: int, near: np.ndarray, value: np.ndarray, is_allowed: np.ndarray) -> None:
        """Store the neighbours of an item, without the item itself."""
        others = (near != item) & is_allowed
        near, value = near[others], value[others]
        order = np.lexsort((near, -value))[: self._width]  # ties in item order: the same on every machine
        self.neighbors[item, : len(order)], self.similarities[item, : len(order)] = near[order], value[order]
