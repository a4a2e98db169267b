"""Pairs of items that the same users chose, for LC-Rec's task ``neighbors``."""

from __future__ import annotations

import numpy as np

from ...data.co_occurrence import CoOccurrence
from ...data.splits import RecSplit
from ...prompting.templates import stable_hash

# Number of neighbours of an item that are drawn from.
NUM_NEIGHBORS = 50


class NeighborPairs:
    """Draws for items a neighbour by co-occurrence in the training interactions, anew in each epoch.

    The probability of a neighbour is proportional to the share of users that it has in common with the item, see
    [`CoOccurrence`].

    Args:
        split: its training interactions are counted; validation and test interactions are not used.
        num_items: number of items of the catalogue.
        seed: seed of the draws.
        num_neighbors: number of the nearest neighbours of an item that are drawn from.

    Attributes:
        items: int64 (n,), the items that have a neighbour, in increasing order.

    Example:
        ```python
        dataset = make_demo_shop().dataset
        pairs = NeighborPairs(dataset.split(), dataset.num_items)
        print(pairs.draw(int(pairs.items[0]), epoch=0, slot=0))
        ```
    """

    def __init__(self, split: RecSplit, num_items: int, seed: int = 0, num_neighbors: int = NUM_NEIGHBORS):
        near = CoOccurrence.from_split(split, num_items, num_neighbors=num_neighbors)
        self.items = np.flatnonzero(near.similarities[:, 0] > 0)
        self.seed, self._neighbors = seed, near.neighbors
        self._cumulative = np.cumsum(near.similarities, axis=1, dtype=np.float64)

    def draw(self, item: int, epoch: int, slot: int) -> int:
        """Draw a neighbour.

        Args:
            item: one of ``items``.
            epoch: from 0.
            slot: number of the training row, which draws for itself.

        Returns:
            an item row other than ``item``.
        """
        uniform = float(stable_hash(self.seed, epoch, slot, 3) >> np.uint64(11)) * 2.0**-53
        sums = self._cumulative[item]
        return int(self._neighbors[item, np.searchsorted(sums, uniform * sums[-1], side="right")])
