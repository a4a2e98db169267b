"""LC-Rec's memory: what accompanied and followed what in the training interactions, added to items in the search."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from scipy.sparse import coo_matrix, csr_matrix

from ...data.co_occurrence import CO_OCCURRENCE_FILE, CoOccurrence
from ...data.files import staged
from ...data.recommender_folder import resolve_file

# The tables of a memory, with the prefixes of their names in its file.
TABLES = {"co_occurrence": "", "transitions": "transition_"}


@dataclass(frozen=True)
class MemoryTerm:
    """One term of a memory's score: ``weight * log(1 + s_i / scale)``, where s_i sums a table's similarities of item i.

    Args:
        table: a key of `TABLES`.
        decay: weight of an item of a history relative to the one after it, in [0, 1]; 0: the last item alone counts.
        scale: similarity at which the term is ``weight * log(2)``, positive.
        weight: in nats.

    Raises:
        ValueError: an unknown table, or a number out of range.
    """

    table: str
    decay: float
    scale: float
    weight: float

    def __post_init__(self):
        if self.table not in TABLES:
            raise ValueError(f"table must be one of {sorted(TABLES)}, got {self.table!r}")
        if self.scale <= 0 or not 0 <= self.decay <= 1:
            raise ValueError(f"scale must be positive and decay in [0, 1], got {self.scale} and {self.decay}")


@dataclass(frozen=True)
class LCRecMemory:
    """Item-item scores that are added to LC-Rec's log-probabilities.

    After a history, an item gets the sum of the terms, see `MemoryTerm`. Items of the history itself get none; those of
    them that are in the prompt get ``repeat_bias``.

    Args:
        co_occurrence: which items occur with the same users.
        transitions: which items follow others within a few steps, see `CoOccurrence.from_transitions`.
        terms: what is summed.
        repeat_bias: in nats, added to the items in the prompt on top of the recommender's ``repeat_bias``: it
            compensates for what all other items get.
    """

    co_occurrence: CoOccurrence
    transitions: CoOccurrence
    terms: tuple[MemoryTerm, ...]
    repeat_bias: float = 0.0

    @property
    def num_items(self) -> int:
        """Number of items of the catalogue."""
        return self.co_occurrence.num_items

    def bonus(self, histories: Sequence[np.ndarray], read: Sequence[np.ndarray]) -> csr_matrix:
        """Scores to be added to items.

        Args:
            histories: n int arrays of item rows, oldest first.
            read: the items of each history that the model reads, each once, see `LCRecRecommender.items_read`.

        Returns:
            float32 (n, num_items).
        """
        parts = [each.weight * self.logarithm(each, histories) for each in self.terms if each.weight]
        shape = (len(histories), self.num_items)
        scores = reduce(lambda one, other: one + other, parts, csr_matrix(shape, dtype=np.float32))
        if self.repeat_bias:
            rows, items = _places(read)
            repeats = np.full(len(items), self.repeat_bias, dtype=np.float32)
            scores = scores + csr_matrix((repeats, (rows, items)), shape=shape)
        return csr_matrix(scores, dtype=np.float32)

    def logarithm(self, term: MemoryTerm, histories: Sequence[np.ndarray]) -> csr_matrix:
        """``log(1 + s / scale)`` of a term, 0 for the items of each history.

        Args:
            term: its weight is not used.
            histories: n int arrays of item rows, oldest first.

        Returns:
            float32 (n, num_items).
        """
        table: CoOccurrence = getattr(self, term.table)
        scores = without_history(table.scores(histories, term.decay), histories)
        scores.data = np.log1p(np.asarray(scores.data, dtype=np.float64) / term.scale).astype(np.float32)
        return scores

    def take(self, rows: np.ndarray) -> LCRecMemory:
        """The memory of another catalogue.

        Args:
            rows: int (m,), for each item of that catalogue its row in this one; -1 for new items.
        """
        return replace(self, **{name: getattr(self, name).take(rows) for name in TABLES})

    def settings(self) -> dict[str, Any]:
        """The numbers, as JSON values; `save` writes the rest."""
        return {"terms": [vars(each) for each in self.terms], "repeat_bias": self.repeat_bias}

    def save(self, folder: str | os.PathLike) -> None:
        """Write ``co_occurrence.safetensors``: rows of the catalogue, no user ids.

        Args:
            folder: folder of the model.
        """
        tensors = {}
        for name, prefix in TABLES.items():
            tensors |= {f"{prefix}{key}": value for key, value in getattr(self, name).tensors().items()}
        with staged(Path(folder)) as hidden:
            save_file(tensors, hidden / CO_OCCURRENCE_FILE)

    @classmethod
    def load(cls, path_or_hub_id: str | os.PathLike, settings: Mapping[str, Any], **hub_kwargs: Any) -> LCRecMemory:
        """Read the memory of a recommender.

        Args:
            path_or_hub_id: folder or Hub id of the recommender.
            settings: as of `settings`.
            **hub_kwargs: options of ``from_pretrained`` such as ``revision``, see `recommender_folder.HUB_OPTIONS`.

        Raises:
            FileNotFoundError: the file is missing.
            ValueError: the settings of a term are not valid.
        """
        tensors = load_file(resolve_file(path_or_hub_id, CO_OCCURRENCE_FILE, **hub_kwargs))
        tables = {name: CoOccurrence.of_tensors(tensors, prefix) for name, prefix in TABLES.items()}
        terms = tuple(MemoryTerm(**each) for each in settings["terms"])
        return cls(**tables, terms=terms, repeat_bias=settings["repeat_bias"])


def without_history(scores: csr_matrix, histories: Sequence[np.ndarray]) -> csr_matrix:
    """Remove the items of each history.

    Args:
        scores: (n, num_items).
        histories: n int arrays of item rows.
    """
    rows, items = _places(histories)
    own = csr_matrix((np.ones(len(items), dtype=bool), (rows, items)), shape=scores.shape)
    kept = scores - scores.multiply(own)
    kept.eliminate_zeros()
    return csr_matrix(kept)


def _places(lists: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of lists of items in a matrix with a row per list."""
    rows = np.repeat(np.arange(len(lists)), np.array([len(each) for each in lists], dtype=np.int64))
    return rows, np.concatenate([np.zeros(0, dtype=np.int64), *lists]).astype(np.int64)


def as_tensor(bonus: np.ndarray | csr_matrix | None, rows: np.ndarray) -> torch.Tensor | None:
    """Some rows of a bonus for `recommend_items`.

    Args:
        bonus: float (n, num_items); ``None``: there is none.
        rows: int (m,), numbers of the rows.

    Returns:
        dense, or sparse (COO) for a sparse matrix.
    """
    if bonus is None or isinstance(bonus, np.ndarray):
        return None if bonus is None else torch.from_numpy(bonus[rows])
    part = coo_matrix(bonus[rows])
    places = torch.from_numpy(np.stack([part.row, part.col]).astype(np.int64))
    return torch.sparse_coo_tensor(places, torch.from_numpy(part.data), part.shape, check_invariants=True)
