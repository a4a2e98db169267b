"""`SASRecRecommender`: SASRec with its catalogue."""

from __future__ import annotations

from typing import Any

from ...data.interactions import RecDataset
from ...data.recommender_folder import ItemCatalog
from ..history_recommender import HistoryRecommender
from .configuration_sasrec import SASRecConfig
from .modeling_sasrec import SASRecModel


class SASRecRecommender(HistoryRecommender):
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
