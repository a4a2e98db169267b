"""Recommenders that score all items at once: SASRec, LightGCN, text encoders, nearest neighbours, popularity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np
import torch
from scipy.sparse import csr_matrix
from transformers import PreTrainedModel

from ..data.recommender_folder import ItemCatalog
from ..data.time_features import added_scores, rows_of
from ..evaluation.batches import evaluation_mode, rank_in_batches, score_in_batches
from ..evaluation.top_k import rank_dense_scores
from ..recommender import Recommender


class HistoryScorer(Protocol):
    """A model that scores all items after each history."""

    def score_histories(self, input_ids: torch.Tensor, user_rows: torch.Tensor | None = None) -> torch.Tensor:
        """Scores of all items.

        Args:
            input_ids: int64 (batch, length), item rows, oldest first, padded on the right with ``num_items``.
            user_rows: int64 (batch,), the model's row of each user, -1 for users that it has no vector of; ``None``:
                users are described by their histories only.

        Returns:
            float (batch, num_items).
        """
        ...


def pad_histories(histories: Sequence[np.ndarray], padding: int) -> torch.Tensor:
    """Stack histories of item rows, padded on the right.

    Args:
        histories: n int arrays of item rows.
        padding: the value after the end of a history.

    Returns:
        int64 (n, longest), with at least one column.
    """
    input_ids = np.full((len(histories), max(max(map(len, histories)), 1)), padding, dtype=np.int64)
    for number, history in enumerate(histories):
        input_ids[number, : len(history)] = history
    return torch.from_numpy(input_ids)


def with_added(scores: torch.Tensor, added: np.ndarray | csr_matrix | None, batch: np.ndarray) -> torch.Tensor:
    """Add scores to those of a batch of requests.

    Args:
        scores: float (m, num_items).
        added: float (n, num_items), of all requests, see `added_scores`; ``None``: nothing is added.
        batch: int (m,), numbers of the requests of the batch.
    """
    return scores if added is None else scores + torch.from_numpy(rows_of(added, batch)).to(scores)


def check_catalog_size(model: PreTrainedModel, item_ids: Sequence[str]) -> None:
    """Raise ValueError if the catalogue and the model have different numbers of items."""
    if model.config.num_items != len(item_ids):
        raise ValueError(f"the model scores {model.config.num_items} items, the catalogue has {len(item_ids)}")


class DenseRecommender(Recommender):
    """Ranks the catalogue by the scores of ``model.score_histories``, see [`HistoryScorer`].

    Args:
        model: a model with `score_histories`, in evaluation mode while it ranks. ``model.config.num_items`` is the
            padding of histories.
        catalog: the items in the model's row order, with titles; or item ids alone, whose titles are empty then.
        max_history: how many of the latest items of a history are read; ``None``: all.
        batch_size: number of histories that are scored at once.
        user_rows: the model's row of each user id that it has a vector of; ``None``: it has none.
    """

    supports_item_bonus = True

    def __init__(
        self,
        model: PreTrainedModel,
        catalog: ItemCatalog | Sequence[str],
        *,
        max_history: int | None = None,
        batch_size: int = 512,
        user_rows: dict[str, int] | None = None,
    ):
        super().__init__(model, catalog)
        check_catalog_size(model, self.item_ids)
        self.batch_size, self.max_history, self.user_rows = batch_size, max_history, user_rows

    @classmethod
    def _from_folder(cls, model, settings, catalog, path_or_hub_id, where, *, tokenizer=None, **options):
        users = settings.get("user_ids")
        values = {
            "max_history": settings.get("max_history"),
            "user_rows": None if users is None else {user: row for row, user in enumerate(users)},
        }
        return cls(model, catalog, **{**values, **options})

    def settings(self):
        users = {} if self.user_rows is None else {"user_ids": list(self.user_rows)}
        return {"max_history": self.max_history, **users}

    def _latest(self, histories: Sequence[np.ndarray]) -> list[np.ndarray]:
        last = self.max_history
        return [np.asarray(history) if last is None else np.asarray(history)[-last:] for history in histories]

    def score(self, histories, candidates, *, user_ids=None, times=None):
        rows, histories = self.catalog.check_rows(candidates, len(histories)), self._latest(histories)
        added = added_scores(self.catalog, None, self.time_features, times, len(histories))

        def score_batch(batch):
            users = None if user_ids is None else [user_ids[int(number)] for number in batch]
            return with_added(self._scores([histories[number] for number in batch], users), added, batch)

        with evaluation_mode(self.model):
            return score_in_batches(score_batch, [len(history) for history in histories], rows, self.batch_size)

    def rank(self, histories, k, *, user_ids=None, times=None, exclude=None, allowed=None, item_bonus=None):
        added = added_scores(self.catalog, item_bonus, self.time_features, times, len(histories))
        histories = self._latest(histories)

        def rank_batch(batch: np.ndarray, excluded: Sequence[np.ndarray] | None) -> tuple[np.ndarray, np.ndarray]:
            users = None if user_ids is None else [user_ids[int(number)] for number in batch]
            dense = with_added(self._scores([histories[number] for number in batch], users), added, batch)
            return rank_dense_scores(dense, k, exclude=excluded, allowed=allowed)

        with evaluation_mode(self.model):
            return rank_in_batches(rank_batch, [len(history) for history in histories], k, self.batch_size, exclude)

    @torch.no_grad()
    def _scores(self, histories: list[np.ndarray], user_ids: Sequence[str] | None) -> torch.Tensor:
        device = self.model.device
        input_ids = pad_histories(histories, self.model.config.num_items)
        rows = None
        if self.user_rows is not None and user_ids is not None:
            rows = torch.tensor([self.user_rows.get(user, -1) for user in user_ids], device=device)
        scorer = cast(HistoryScorer, self.model)  # `Recommender` says no more of it than that it is a PreTrainedModel
        return scorer.score_histories(input_ids.to(device), rows).float()
