"""Training rows of the fine-tuned text encoder: a history, the item that followed, and what is no negative for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...data.epoch_dataset import EpochDataset
from ...data.splits import EvalCases, RecSplit
from .configuration_text_encoder import TextEncoderConfig
from .queries import query_texts


class _QueryRows(EpochDataset):
    """Rows that do not change with the epoch and count as equally long."""

    def lengths(self, epoch: int) -> np.ndarray:
        """int64 (rows,), 1 for every row: batches are drawn at random, so that their negatives are.

        Args:
            epoch: makes no difference here.
        """
        return np.ones(len(self), dtype=np.int64)


class TitleQueryDataset(_QueryRows):
    """Rows ``{"history", "target", "chosen"}``: every training interaction except a user's first is a target.

    Args:
        split: provides the training sequences.
        max_history: largest number of items per history.

    Raises:
        ValueError: no user has two training interactions.
    """

    def __init__(self, split: RecSplit, *, max_history: int):
        super().__init__()
        self.split, self.max_history = split, max_history
        is_first = np.zeros(len(split.train_indices) + 1, dtype=bool)
        is_first[split.train_indptr[:-1]] = True
        self.positions = np.flatnonzero(~is_first[:-1])
        self.users = split.train_users[self.positions]
        if not len(self.positions):
            raise ValueError("no user has two training interactions: there is nothing to predict")

    def __len__(self) -> int:
        return len(self.positions)

    def build(self, slot: int, epoch: int) -> dict[str, Any]:
        """Build one row: ``history``, ``target`` and ``chosen``, all training items of the user, int64.

        Args:
            slot: number of the row, from 0.
            epoch: makes no difference here.
        """
        user, stop = int(self.users[slot]), int(self.positions[slot])
        start = max(int(self.split.train_indptr[user]), stop - self.max_history)
        items = self.split.train_indices
        return {
            "history": items[start:stop].astype(np.int64),
            "target": np.int64(items[stop]),
            "chosen": self.split.train_sequence(user).astype(np.int64),
        }


class TitleQueryEvalDataset(_QueryRows):
    """Rows of evaluation cases as those of `TitleQueryDataset`. Empty histories are left out.

    Args:
        cases: the evaluation cases.
        max_history: largest number of items per history.
    """

    def __init__(self, cases: EvalCases, *, max_history: int):
        super().__init__()
        self.cases, self.max_history = cases, max_history
        self.numbers = [number for number in range(len(cases)) if len(cases.histories[number])]

    def __len__(self) -> int:
        return len(self.numbers)

    def build(self, slot: int, epoch: int) -> dict[str, Any]:
        """Build one row: ``history``, ``target`` and ``chosen``, the items of the history, int64.

        Args:
            slot: number of the row, from 0.
            epoch: makes no difference here.
        """
        number = self.numbers[slot]
        history = self.cases.histories[number].astype(np.int64)
        return {
            "history": history[-self.max_history :],
            "target": np.int64(self.cases.targets[number]),
            "chosen": history,
        }


class TitleQueryCollator:
    """Makes a batch of queries and of the distinct targets as documents, tokenized.

    A document is a negative for a query unless it is the query's target or another item of its user.

    Args:
        encoder: a `sentence_transformers.SentenceTransformer`, whose tokenizer is used.
        titles: of all items, by row.
        texts: of all items, by row, as documents.
        config: how queries are made, see `query_texts`.
    """

    def __init__(self, encoder: Any, titles: Sequence[str], texts: Sequence[str], config: TextEncoderConfig):
        self.encoder, self.titles, self.texts, self.config = encoder, titles, texts, config

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        queries = query_texts([np.asarray(row["history"]) for row in rows], self.titles, self.config, self.encoder)
        targets = np.array([int(row["target"]) for row in rows])
        documents, labels = np.unique(targets, return_inverse=True)
        excluded = np.stack([np.isin(documents, [*row["chosen"], row["target"]]) for row in rows])
        return {
            "queries": self._tokenized(queries),
            "documents": self._tokenized([self.texts[int(row)] for row in documents]),
            "labels": torch.from_numpy(labels.astype(np.int64)),
            "excluded": torch.from_numpy(excluded),
        }

    def _tokenized(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        prompt = (
            self.encoder.prompts.get(self.encoder.default_prompt_name) if self.encoder.default_prompt_name else None
        )
        features = self.encoder.preprocess(list(texts), **({"prompt": prompt} if prompt else {}))
        return {name: value for name, value in features.items() if isinstance(value, torch.Tensor)}
