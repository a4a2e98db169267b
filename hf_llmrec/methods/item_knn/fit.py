"""Fits ItemKNN: nearest neighbours of items by co-occurrence."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix

from ...data.splits import RecSplit
from .configuration_item_knn import ItemKNNConfig
from .modeling_item_knn import ItemKNNModel

# Number of rows of the item-item matrix that are computed at once.
ITEMS_AT_ONCE = 2048


def fit_item_knn(
    split: RecSplit, num_items: int, *, num_neighbors: int = 200, decay: float = 0.7, shrinkage: float = 0.0
) -> ItemKNNModel:
    """Find the nearest neighbours of every item by co-occurrence in the training sequences.

    The similarity of i and j is ``n_ij / (sqrt(n_i n_j) + shrinkage)``, where n counts users.

    Args:
        split: its training interactions are counted; validation and test interactions are not used.
        num_items: number of items of the catalogue.
        num_neighbors: number of neighbours that are stored per item; fewer in catalogues with fewer other items.
        decay: weight of an item of the history relative to the one after it, in [0, 1].
        shrinkage: added to the denominator of the similarity, at least 0.

    Returns:
        the fitted model.
    """
    users = split.train_users
    seen = csr_matrix(
        (np.ones(len(users), dtype=np.float32), (users, split.train_indices)), shape=(users.max() + 1, num_items)
    )
    seen.sum_duplicates()
    seen.data[:] = 1
    by_item = seen.T.tocsr()
    counts = np.asarray(seen.sum(axis=0)).ravel()
    width = min(num_neighbors, max(num_items - 1, 1))
    model = ItemKNNModel(ItemKNNConfig(num_items=num_items, num_neighbors=width, decay=decay, shrinkage=shrinkage))
    neighbors = np.full((num_items + 1, width), num_items, dtype=np.int64)
    similarities = np.zeros((num_items + 1, width), dtype=np.float32)
    for start in range(0, num_items, ITEMS_AT_ONCE):
        shared = (by_item[start : start + ITEMS_AT_ONCE] @ seen).tocsr()
        for row in range(shared.shape[0]):
            item = start + row
            near = shared.indices[shared.indptr[row] : shared.indptr[row + 1]]
            value = shared.data[shared.indptr[row] : shared.indptr[row + 1]]
            value = value / (np.sqrt(counts[item] * counts[near]) + shrinkage)
            others = near != item
            near, value = near[others], value[others]
            order = np.lexsort((near, -value))[:width]  # ties in item order: the same model on every machine
            neighbors[item, : len(order)], similarities[item, : len(order)] = near[order], value[order]
    model.neighbors.copy_(torch.from_numpy(neighbors))
    model.similarities.data = torch.from_numpy(similarities)
    popularity = np.bincount(split.train_indices, minlength=num_items)
    model.popularity.data = torch.from_numpy(popularity / max(popularity.max(), 1) * 1e-6).float()
    return model
