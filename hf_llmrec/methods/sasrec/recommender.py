"""`SASRecRecommender`: SASRec with its catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...data.interactions import RecDataset
from ...data.recommender_folder import ItemCatalog
from ...evaluation.batches import evaluation_mode
from ..dense_recommender import DenseRecommender, pad_histories
from .configuration_sasrec import SASRecConfig
from .modeling_sasrec import SASRecModel


class SASRecRecommender(DenseRecommender):
    """Ranks items by SASRec's scores after the history.

    The parameters are those of [`DenseRecommender`]; the model is a [`SASRecModel`].
    """

    method = "sasrec"
    model: SASRecModel

    @classmethod
    def from_dataset(cls, dataset: RecDataset, **fields: Any) -> SASRecRecommender:
        """Create an untrained recommender; torch's global generator draws its weights.

        Args:
            dataset: its items are the catalogue.
            fields: of [`SASRecConfig`], such as ``hidden_size``.

        Returns:
            a recommender whose model [`SASRecTrainer`] trains in place.
        """
        config = SASRecConfig(**{"num_items": dataset.num_items, **fields})
        catalog = ItemCatalog.of_dataset(dataset)
        return cls(SASRecModel(config), catalog, max_history=config.max_position_embeddings)

    def item_vectors(self) -> np.ndarray:
        """The vectors that histories are scored against, float32 (num_items, hidden_size)."""
        return self.model.item_vectors().detach().float().cpu().numpy()

    @torch.no_grad()
    def user_vectors(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """The hidden states against which items are scored.

        Args:
            histories: n int arrays of item rows, oldest first.

        Returns:
            float32 (n, hidden_size).
        """
        recent, vectors = self._latest(histories), []
        with evaluation_mode(self.model):
            for start in range(0, len(recent), self.batch_size):
                input_ids = pad_histories(recent[start : start + self.batch_size], self.model.config.num_items)
                vectors.append(self.model.user_vectors(input_ids.to(self.model.device)).float().cpu().numpy())
        return np.concatenate(vectors)
