"""`PopularityRecommender`: the popularity baseline with its catalogue."""

from __future__ import annotations

from ...data.interactions import RecDataset
from ...data.recommender_folder import ItemCatalog
from ...data.splits import RecSplit
from ..dense_recommender import DenseRecommender
from .fit import fit_popularity


class PopularityRecommender(DenseRecommender):
    """Ranks items by their number of training interactions: the same ranking for everyone.

    The parameters are those of [`DenseRecommender`]; the model is a [`PopularityModel`].
    """

    method = "popularity"
    supports_similar_items = False

    @classmethod
    def fit(cls, dataset: RecDataset, split: RecSplit) -> PopularityRecommender:
        """Count the training interactions of ``split``.

        Args:
            dataset: the dataset that was split; its items are the catalogue.
            split: its training interactions are counted; validation and test interactions are not used.

        Returns:
            the fitted recommender.
        """
        recommender = cls(fit_popularity(split, dataset.num_items), ItemCatalog.of_dataset(dataset))
        recommender.trained_on(dataset, split)
        return recommender
