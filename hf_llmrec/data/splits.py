"""Evaluation cases and the two ways of holding interactions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


class Histories:
    """A list of int32 arrays over one shared array: history i is ``indices[starts[i]:stops[i]]``, without copies."""

    def __init__(self, indices: np.ndarray, starts: np.ndarray, stops: np.ndarray):
        self._indices, self._starts, self._stops = indices, starts, stops

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def lengths(self) -> np.ndarray:
        """int (n,), items of each history."""
        return self._stops - self._starts

    def __getitem__(self, number: int) -> np.ndarray:
        return self._indices[self._starts[number] : self._stops[number]]

    def take(self, numbers: np.ndarray) -> Histories:
        return Histories(self._indices, self._starts[numbers], self._stops[numbers])


@dataclass(frozen=True)
class EvalCases:
    """One held-out interaction per case.

    Attributes:
        user_rows: int32 (n,).
        targets: int32 (n,), the item row that was held out.
        histories: n int32 arrays, everything that the user did before it, oldest first.
        item_ids: of the dataset, by row; ``None``: not known.
        user_ids: of all users of the dataset, by row; ``None``: not known.
    """

    user_rows: np.ndarray
    targets: np.ndarray
    histories: Histories
    item_ids: Sequence[str] | None = None
    user_ids: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.user_rows)

    def sample(self, count: int, seed: int = 0) -> EvalCases:
        """A random sample without repeats, in the order of the cases; all of them when there are fewer."""
        if count >= len(self):
            return self
        chosen = np.sort(np.random.default_rng(seed).choice(len(self), count, replace=False))
        kept = {"user_rows": self.user_rows[chosen], "targets": self.targets[chosen]}
        return replace(self, **kept, histories=self.histories.take(chosen))


@dataclass(frozen=True)
class RecSplit:
    """Training sequences and evaluation cases of one dataset.

    Attributes:
        train_indptr: int32 (num_users + 1,). train_indices: int32, training items per user in time order.
        validation, test: evaluation cases.
        train_only_users: users with too few interactions to be evaluated.
        strategy: ``leave_one_out`` or ``temporal``.
        cuts: times at which validation and test begin, which belong to them, of a temporal split; otherwise empty.
        dataset: the `RecDataset` that was split; ``None``: not known.
    """

    train_indptr: np.ndarray
    train_indices: np.ndarray
    validation: EvalCases
    test: EvalCases
    train_only_users: int
    strategy: str
    cuts: tuple[int, ...] = ()
    dataset: Any = field(default=None, repr=False, compare=False)

    def of(self, dataset: Any) -> RecSplit:
        """The same split, which knows its dataset, and whose cases know the ids of its items and users.

        Args:
            dataset: the `RecDataset` that was split.
        """
        ids = {"item_ids": dataset.item_ids, "user_ids": dataset.user_ids}
        cases = {"validation": replace(self.validation, **ids), "test": replace(self.test, **ids)}
        return replace(self, **cases, dataset=dataset)

    def require_dataset(self) -> Any:
        """The `RecDataset` that was split.

        Raises:
            ValueError: the split does not know it: it was not made by `RecDataset.split`.
        """
        if self.dataset is None:
            raise ValueError("the split does not know its dataset: make it with RecDataset.split()")
        return self.dataset

    @property
    def train_users(self) -> np.ndarray:
        """int64 (training interactions,), the user row of each, aligned with ``train_indices``."""
        return np.repeat(np.arange(len(self.train_indptr) - 1), np.diff(self.train_indptr))

    def train_sequence(self, user_row: int) -> np.ndarray:
        """int32 training items of a user, oldest first."""
        return self.train_indices[self.train_indptr[user_row] : self.train_indptr[user_row + 1]]

    def require_cases(self, which: str) -> EvalCases:
        """The cases of ``validation`` or ``test``.

        Raises:
            ValueError: there is none, so that nobody can be evaluated; says why.
        """
        cases: EvalCases = getattr(self, which)
        if not len(cases):
            count = len(self.train_indptr) - 1
            reason = (
                f"none of the {count} users has three interactions, which leave_one_out needs"
                if self.strategy == "leave_one_out"
                else f"none of the {count} users has an interaction in the {which} period and one before it"
            )
            raise ValueError(f"nobody can be evaluated ({which}, {self.strategy}): {reason}")
        return cases


def _cases(indices: np.ndarray, indptr: np.ndarray, users: np.ndarray, places: np.ndarray) -> EvalCases:
    """Cases whose targets lie at ``places`` of ``indices``."""
    histories = Histories(indices, indptr[users], places)
    return EvalCases(users.astype(np.int32), indices[places], histories)


def _train(indices: np.ndarray, indptr: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """CSR of the first ``keep[u]`` interactions of every user."""
    position = np.arange(len(indices)) - np.repeat(indptr[:-1], np.diff(indptr))
    mask = position < np.repeat(keep, np.diff(indptr))
    return np.concatenate([[0], np.cumsum(keep)]).astype(np.int32), indices[mask]


def leave_one_out(indptr: np.ndarray, indices: np.ndarray) -> RecSplit:
    """Last interaction = test, last but one = validation, the rest = training (per user).

    Users with fewer than three interactions train only.
    """
    lengths = np.diff(indptr)
    users = np.flatnonzero(lengths >= 3)
    train_indptr, train_indices = _train(indices, indptr, np.where(lengths >= 3, lengths - 2, lengths))
    validation = _cases(indices, indptr, users, indptr[users + 1] - 2)
    test = _cases(indices, indptr, users, indptr[users + 1] - 1)
    return RecSplit(train_indptr, train_indices, validation, test, len(lengths) - len(users), "leave_one_out")


def temporal(
    indptr: np.ndarray,
    indices: np.ndarray,
    timestamps: np.ndarray | None,
    validation_share: float = 0.1,
    test_share: float = 0.1,
) -> RecSplit:
    """Split at two points of global time; everyone's first interaction after each point is the case.

    The last ``test_share`` of all interactions in time are the test period, the ``validation_share`` before them the
    validation period; training ends where validation begins. A user is evaluated in a period when it has an interaction
    there and at least one before it.

    Raises:
        ValueError: there are no timestamps, or shares that leave no training period.
    """
    if timestamps is None:
        raise ValueError("the temporal split needs a timestamp column in interactions; this dataset has positions only")
    if not (0 < validation_share and 0 < test_share and validation_share + test_share < 1):
        raise ValueError(
            f"validation_share {validation_share} and test_share {test_share} must be positive, sum below 1"
        )
    begins = np.quantile(timestamps, [1 - validation_share - test_share, 1 - test_share], method="higher")
    begin_validation, begin_test = (int(begin) for begin in begins)
    lengths = np.diff(indptr)
    users = np.repeat(np.arange(len(lengths)), lengths)
    before_validation = np.bincount(users[timestamps < begin_validation], minlength=len(lengths))
    before_test = np.bincount(users[timestamps < begin_test], minlength=len(lengths))
    train_indptr, train_indices = _train(indices, indptr, before_validation)
    in_validation = np.flatnonzero((before_test > before_validation) & (before_validation > 0))
    in_test = np.flatnonzero((lengths > before_test) & (before_test > 0))
    validation = _cases(indices, indptr, in_validation, indptr[in_validation] + before_validation[in_validation])
    test = _cases(indices, indptr, in_test, indptr[in_test] + before_test[in_test])
    evaluated = len(np.union1d(in_validation, in_test))
    cuts = begin_validation, begin_test
    return RecSplit(train_indptr, train_indices, validation, test, len(lengths) - evaluated, "temporal", cuts)
