"""Fits ItemKNN: nearest neighbours of items by co-occurrence."""

from __future__ import annotations

import numpy as np
import torch

from ...data.co_occurrence import CoOccurrence
from ...data.splits import RecSplit
from .configuration_item_knn import ItemKNNConfig
from .modeling_item_knn import ItemKNNModel


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
    counted = CoOccurrence.from_split(split, num_items, num_neighbors=num_neighbors, shrinkage=shrinkage)
    width = counted.neighbors.shape[1]
    model = ItemKNNModel(ItemKNNConfig(num_items=num_items, num_neighbors=width, decay=decay, shrinkage=shrinkage))
    # The last row, of padding, keeps its initial values.
    model.neighbors[:num_items] = torch.from_numpy(counted.neighbors)
    model.similarities.data[:num_items] = torch.from_numpy(counted.similarities)
    popularity = np.bincount(split.train_indices, minlength=num_items)
    model.popularity.data = torch.from_numpy(popularity / max(popularity.max(), 1) * 1e-6).float()
    return model
