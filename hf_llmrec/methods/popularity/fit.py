"""Fits the popularity baseline: counts of training interactions per item."""

from __future__ import annotations

import numpy as np
import torch

from ...data.splits import RecSplit
from .configuration_popularity import PopularityConfig
from .modeling_popularity import PopularityModel


def fit_popularity(split: RecSplit, num_items: int) -> PopularityModel:
    """Count the training interactions of every item.

    Args:
        split: its training interactions are counted; validation and test interactions are not used.
        num_items: number of items of the catalogue.
    """
    model = PopularityModel(PopularityConfig(num_items=num_items))
    model.item_counts.data = torch.from_numpy(np.bincount(split.train_indices, minlength=num_items)).float()
    return model
