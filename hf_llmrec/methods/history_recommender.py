"""Recommenders that compare a vector of the history with a vector of every item: SASRec and the text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np
import torch

from ..evaluation.batches import evaluation_mode
from .dense_recommender import DenseRecommender, pad_histories


class HistoryEncoder(Protocol):
    """A model with a vector for every history and every item."""

    def item_vectors(self, item_rows: torch.Tensor | None = None) -> torch.Tensor:
        """Vectors of items.

        Args:
            item_rows: int64 (...), the items; ``None``: all items.

        Returns:
            float (..., d) or (num_items, d).
        """
        ...

    def user_vectors(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Vectors of histories.

        Args:
            input_ids: int64 (batch, length), item rows, oldest first, right-padded with ``num_items``.

        Returns:
            float (batch, d).
        """
        ...


class HistoryRecommender(DenseRecommender):
    """[`DenseRecommender`] whose model is a [`HistoryEncoder`]. The parameters are those of [`DenseRecommender`]."""

    def item_vectors(self) -> np.ndarray:
        """The vectors that those of histories are compared with, float32 (num_items, d)."""
        return cast(HistoryEncoder, self.model).item_vectors().detach().float().cpu().numpy()

    @torch.no_grad()
    def user_vectors(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """The vectors that items are compared with.

        Args:
            histories: n int arrays of item rows, oldest first.

        Returns:
            float32 (n, d).
        """
        recent, encoder, vectors = self._latest(histories), cast(HistoryEncoder, self.model), []
        with evaluation_mode(self.model):
            for start in range(0, len(recent), self.batch_size):
                input_ids = pad_histories(recent[start : start + self.batch_size], self.model.config.num_items)
                vectors.append(encoder.user_vectors(input_ids.to(self.model.device)).float().cpu().numpy())
        return np.concatenate(vectors) if vectors else np.zeros((0, self.item_vectors().shape[1]), dtype=np.float32)
