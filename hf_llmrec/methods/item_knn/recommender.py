"""`ItemKNNRecommender`: item-based nearest neighbours with their catalogue."""

from __future__ import annotations

import numpy as np

from ...data.interactions import RecDataset
from ...data.recommender_folder import ItemCatalog
from ...data.splits import EvalCases, RecSplit
from ..dense_recommender import DenseRecommender
from .fit import fit_item_knn
from .modeling_item_knn import ItemKNNModel

# The values that `search` compares on validation users.
GRID = {"decay": (0.0, 0.3, 0.5, 0.7, 0.85, 1.0), "shrinkage": (0.0, 5.0, 20.0)}


class ItemKNNRecommender(DenseRecommender):
    """Ranks items by their similarity to the items of the history.

    The parameters are those of [`DenseRecommender`]; the model is an [`ItemKNNModel`].
    """

    method = "knn"
    model: ItemKNNModel

    @classmethod
    def fit(cls, dataset: RecDataset, split: RecSplit, **options) -> ItemKNNRecommender:
        """Find the nearest neighbours of every item in the training interactions of ``split``.

        Args:
            dataset: the dataset that was split; its items are the catalogue.
            split: its training interactions are counted; validation and test interactions are not used.
            options: ``num_neighbors``, ``decay`` and ``shrinkage``, see [`ItemKNNConfig`].

        Returns:
            the fitted recommender.
        """
        recommender = cls(fit_item_knn(split, dataset.num_items, **options), ItemCatalog.of_dataset(dataset))
        recommender.trained_on(dataset, split)
        return recommender

    @classmethod
    def search(
        cls, dataset: RecDataset, split: RecSplit, cases: EvalCases | None = None, **options
    ) -> tuple[ItemKNNRecommender, list[dict[str, float]]]:
        """Fit as `fit` does, with the ``decay`` and ``shrinkage`` of a grid that are best on validation users.

        Args:
            dataset: the dataset that was split; its items are the catalogue.
            split: its training interactions are counted.
            cases: the users by whose metrics the values are compared; default: the split's validation users.
            options: as in `fit`; a ``decay`` or ``shrinkage`` that is given here is not searched for.

        Returns:
            the best recommender by NDCG@10; and one dictionary per trial with ``shrinkage``, ``decay`` and the metrics.
        """
        cases = split.require_cases("validation") if cases is None else cases
        grid = {name: (options[name],) if name in options else values for name, values in GRID.items()}
        trials: list[dict[str, float]] = []
        best: tuple[float, float, ItemKNNRecommender] | None = None
        for shrinkage in grid["shrinkage"]:
            recommender = cls.fit(dataset, split, **{**options, "shrinkage": shrinkage, "decay": 1.0})
            for decay in grid["decay"]:
                recommender.model.config.decay = decay
                metrics = recommender.evaluate(cases).metrics
                trials.append({"shrinkage": shrinkage, "decay": decay, **metrics})
                if best is None or metrics["ndcg@10"] > best[0]:
                    best = metrics["ndcg@10"], decay, recommender
        if best is None:
            raise ValueError("there are no values of decay and shrinkage to compare")
        _, decay, recommender = best
        recommender.model.config.decay = decay
        return recommender, trials

    def _similarities(self, rows: np.ndarray) -> np.ndarray:
        """The stored similarities of the items in ``rows`` to all items; -inf for items that are no neighbours."""
        scores = np.full((len(rows), len(self.item_ids) + 1), -np.inf)
        neighbors = self.model.neighbors[rows].cpu().numpy()
        values = self.model.similarities[rows].detach().float().cpu().numpy()
        np.put_along_axis(scores, neighbors, values, axis=1)
        return scores[:, :-1]  # the last column takes the padding
