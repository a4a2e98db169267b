"""Item-based nearest neighbours as a recommender."""

from __future__ import annotations

import numpy as np

from ...data.interactions import RecDataset
from ...data.recommender_folder import ItemCatalog
from ...data.splits import EvalCases, RecSplit
from ..dense_recommender import DenseRecommender
from .fit import fit_item_knn

# What is tried on validation users when nobody chose.
GRID = {"decay": (0.0, 0.3, 0.5, 0.7, 0.85, 1.0), "shrinkage": (0.0, 5.0, 20.0)}


class ItemKNNRecommender(DenseRecommender):
    """`ItemKNNModel` with its catalogue."""

    method = "knn"

    @classmethod
    def fit(cls, dataset: RecDataset, split: RecSplit, **options) -> ItemKNNRecommender:
        """Count the training interactions of ``split``.

        Args:
            dataset: the split's.
            split: validation and test interactions are not looked at.
            options: ``num_neighbors``, ``decay``, ``shrinkage`` of `fit_item_knn`.
        """
        made = cls(fit_item_knn(split, dataset.num_items, **options), ItemCatalog.of_dataset(dataset))
        made.trained_on(dataset, split)
        return made

    @classmethod
    def search(
        cls, dataset: RecDataset, split: RecSplit, cases: EvalCases | None = None, **options
    ) -> tuple[ItemKNNRecommender, list[dict[str, float]]]:
        """As `fit`; decay and shrinkage that nobody chose are those of `GRID` that are best on validation users.

        Args:
            dataset: the split's.
            split: its training interactions are counted.
            cases: who is ranked; default: the split's validation users.
            options: as in `fit`; only those that are missing are searched for.

        Returns:
            the best by NDCG@10, and what was tried: ``shrinkage``, ``decay`` and metrics of each.
        """
        cases = split.require_cases("validation") if cases is None else cases
        grid = {name: (options[name],) if name in options else values for name, values in GRID.items()}
        tried, best = [], None
        for shrinkage in grid["shrinkage"]:
            made = cls.fit(dataset, split, **{**options, "shrinkage": shrinkage, "decay": 1.0})
            for decay in grid["decay"]:
                made.model.config.decay = decay
                metrics = made.evaluate(cases).metrics
                tried.append({"shrinkage": shrinkage, "decay": decay, **metrics})
                if best is None or metrics["ndcg@10"] > best[0]:
                    best = metrics["ndcg@10"], decay, made
        _, decay, made = best
        made.model.config.decay = decay
        return made, tried

    def _similarities(self, rows: np.ndarray) -> np.ndarray:
        """Those of co-occurrence; items that are no neighbours have none."""
        scores = np.full((len(rows), len(self.item_ids) + 1), -np.inf)
        neighbors = self.model.neighbors[rows].cpu().numpy()
        values = self.model.similarities[rows].detach().float().cpu().numpy()
        np.put_along_axis(scores, neighbors, values, axis=1)
        return scores[:, :-1]  # the last column takes the padding
