"""Recommenders that score the whole catalogue at once: SASRec, LightGCN, nearest neighbours, popularity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from ..data.recommender_folder import ItemCatalog
from ..evaluation.batches import evaluation_mode, rank_in_batches, score_in_batches
from ..evaluation.top_k import rank_dense_scores
from ..recommender import Recommender


def pad_histories(histories: Sequence[np.ndarray], padding: int) -> torch.Tensor:
    """int64 (n, longest), histories of item rows padded on the right; at least one column."""
    input_ids = np.full((len(histories), max(max(map(len, histories)), 1)), padding, dtype=np.int64)
    for number, history in enumerate(histories):
        input_ids[number, : len(history)] = history
    return torch.from_numpy(input_ids)


def check_catalog_size(model: PreTrainedModel, item_ids: Sequence[str]) -> None:
    """Refuse a catalogue of another size than the model's."""
    if model.config.num_items != len(item_ids):
        raise ValueError(f"the model scores {model.config.num_items} items, the catalogue has {len(item_ids)}")


class DenseRecommender(Recommender):
    """Ranks by ``model.score_histories(input_ids, user_rows)``, which gives float (n, num_items).

    Args:
        model: in evaluation mode while it ranks. ``model.config.num_items`` pads histories on the right.
        catalog: see `Recommender`.
        max_history: how many of the latest items are read (``None``: all).
        batch_size: histories scored at once.
        user_rows: the model's row of each user id it knows, for models that know users.
    """

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

    def score(self, histories, candidates):
        rows, histories = self.catalog.check_rows(candidates, len(histories)), self._latest(histories)

        def score_batch(batch):
            return self._scores([histories[number] for number in batch], None)

        with evaluation_mode(self.model):
            return score_in_batches(score_batch, [len(history) for history in histories], rows, self.batch_size)

    def rank(self, histories, k, *, user_ids=None, exclude=None, allowed=None):
        histories = self._latest(histories)

        def rank_batch(batch, left_out):
            users = None if user_ids is None else [user_ids[number] for number in batch]
            dense = self._scores([histories[number] for number in batch], users)
            return rank_dense_scores(dense, k, exclude=left_out, allowed=allowed)

        with evaluation_mode(self.model):
            return rank_in_batches(rank_batch, [len(history) for history in histories], k, self.batch_size, exclude)

    @torch.no_grad()
    def _scores(self, histories: list[np.ndarray], user_ids: list[str] | None) -> torch.Tensor:
        device = self.model.device
        input_ids = pad_histories(histories, self.model.config.num_items)
        rows = None
        if self.user_rows is not None and user_ids is not None:
            rows = torch.tensor([self.user_rows.get(user, -1) for user in user_ids], device=device)
        return self.model.score_histories(input_ids.to(device), rows).float()
