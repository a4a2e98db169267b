"""What GAL-Rec knows of an item by itself: E_i^0."""

from __future__ import annotations

import numpy as np
import torch

from ...evaluation.batches import evaluation_mode
from ..dense_recommender import pad_histories
from .recommender import GALRecRanker


@torch.no_grad()
def item_readouts(ranker: GALRecRanker, batch_size: int = 256) -> np.ndarray:
    """E_i^0 of every item, before any projection; float32 (num_items, hidden_size)."""
    model = ranker.model
    segments = [ranker.layout.item_segment(item)[0] for item in range(len(ranker.item_ids))]
    found = []
    with evaluation_mode(model):
        for start in range(0, len(segments), batch_size):
            ids = pad_histories(segments[start : start + batch_size], 0).to(model.item_external.device)
            states = model.readout_states(ids, model(ids).last_hidden_state, "ITEM_0")
            found.append(states.float().cpu().numpy())
    return np.concatenate(found)
