"""Evaluation cases, and the two strategies of holding out interactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

# Which interactions of an evaluation period count as relevant items.
TARGETS = ("first", "all")


class Histories:
    """A sequence of int32 arrays that are views of one array: history i is ``indices[starts[i]:stops[i]]``.

    Args:
        indices: int32, the shared array of item rows.
        starts: int (n,), where each history begins in ``indices``.
        stops: int (n,), where each history ends.
    """

    def __init__(self, indices: np.ndarray, starts: np.ndarray, stops: np.ndarray):
        self._indices, self._starts, self._stops = indices, starts, stops

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def lengths(self) -> np.ndarray:
        """int (n,), number of items of each history."""
        return self._stops - self._starts

    def __getitem__(self, number: int) -> np.ndarray:
        return self._indices[self._starts[number] : self._stops[number]]

    def take(self, numbers: np.ndarray) -> Histories:
        """A selection of the histories.

        Args:
            numbers: int (m,), numbers of the histories, in the order to return them.
        """
        return Histories(self._indices, self._starts[numbers], self._stops[numbers])


@dataclass(frozen=True)
class EvalCases:
    """One held-out interaction per case.

    Attributes:
        user_rows: int32 (n,), user row of each case.
        targets: int32 (n,), the held-out item row of each case.
        histories: n int32 arrays, the item rows of the user's earlier interactions, oldest first.
        period_items: of a temporal split n int32 arrays, everything that the user did in the evaluation period,
            ``targets`` first; otherwise ``None``.
        times: int64 (n,), seconds, when the held-out interaction took place: the time of the request; ``None``: the
            log has no times.
        last_times: int64 (n,), seconds, of the last interaction before it, -1 if there is none, or if it was held out
            with its item; ``None`` like ``times``.
        item_ids: ids of all items of the dataset, by row; ``None``: not available.
        user_ids: ids of all users of the dataset, by row; ``None``: not available.
    """

    user_rows: np.ndarray
    targets: np.ndarray
    histories: Histories
    period_items: Histories | None = None
    times: np.ndarray | None = None
    last_times: np.ndarray | None = None
    item_ids: Sequence[str] | None = None
    user_ids: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.user_rows)

    def sample(self, count: int, seed: int = 0) -> EvalCases:
        """Draw a random sample without replacement; it keeps the order of the cases.

        Args:
            count: size of the sample; if there are fewer cases, all are returned.
            seed: seed of the sample.
        """
        if count >= len(self):
            return self
        return self.take(np.sort(np.random.default_rng(seed).choice(len(self), count, replace=False)))

    def take(self, numbers: np.ndarray) -> EvalCases:
        """A selection of the cases.

        Args:
            numbers: int (m,), numbers of the cases, in the order to return them.
        """
        return replace(
            self,
            user_rows=self.user_rows[numbers],
            targets=self.targets[numbers],
            histories=self.histories.take(numbers),
            period_items=None if self.period_items is None else self.period_items.take(numbers),
            times=None if self.times is None else self.times[numbers],
            last_times=None if self.last_times is None else self.last_times[numbers],
        )

    def ids_of_users(self, numbers: range) -> list[str] | None:
        """The user ids of some cases, as ``Recommender.rank`` takes them; ``None``: they are not available.

        Args:
            numbers: of the cases.
        """
        if self.user_ids is None:
            return None
        return [self.user_ids[int(row)] for row in self.user_rows[numbers]]

    @property
    def request_times(self) -> np.ndarray | None:
        """int64 (n, 2), ``times`` and ``last_times``, as ``Recommender.rank`` takes them; ``None``: there are none."""
        if self.times is None or self.last_times is None:
            return None
        return np.stack([self.times, self.last_times], axis=1)


@dataclass(frozen=True)
class RecSplit:
    """Training sequences and evaluation cases of one dataset.

    Attributes:
        train_indptr: int32 (num_users + 1,), where the training items of each user begin in ``train_indices``.
        train_indices: int32 (training interactions,), training items per user, oldest first.
        validation: cases for validation.
        test: cases for test.
        train_only_users: number of users that are not evaluated.
        strategy: ``leave_one_out`` or ``temporal``.
        cuts: of a temporal split, the times in seconds at which validation and test begin (inclusive); otherwise empty.
        dataset: the `RecDataset` that was split; ``None``: not available.
        cold: which items are held out, a `cold_items.ColdItems`; ``None``: none.
        is_cold: bool (num_items,), the held-out items; ``None``: there are none.
        period_lengths: int (num_users,), number of interactions of each user in the training period, those with
            held-out items included; ``None``: the lengths of the training sequences.
        train_times: int64 (training interactions,), seconds, aligned with ``train_indices``; ``None``: the log has no
            times.
    """

    train_indptr: np.ndarray
    train_indices: np.ndarray
    validation: EvalCases
    test: EvalCases
    train_only_users: int
    strategy: str
    cuts: tuple[int, ...] = ()
    dataset: Any = field(default=None, repr=False, compare=False)
    cold: Any = None
    is_cold: np.ndarray | None = None
    period_lengths: np.ndarray | None = None
    train_times: np.ndarray | None = None

    def of(self, dataset: Any) -> RecSplit:
        """The same split with a reference to its dataset and with the dataset's ids in its cases.

        Args:
            dataset: the `RecDataset` that was split.
        """
        ids = {"item_ids": dataset.item_ids, "user_ids": dataset.user_ids}
        cases = {"validation": replace(self.validation, **ids), "test": replace(self.test, **ids)}
        return replace(self, **cases, dataset=dataset)

    def require_dataset(self) -> Any:
        """The `RecDataset` that was split.

        Raises:
            ValueError: the split has no reference to it, because it was not made by `RecDataset.split`.
        """
        if self.dataset is None:
            raise ValueError("the split does not know its dataset: make it with RecDataset.split()")
        return self.dataset

    @property
    def train_users(self) -> np.ndarray:
        """int64 (training interactions,), user row of each interaction, aligned with ``train_indices``."""
        return np.repeat(np.arange(len(self.train_indptr) - 1), np.diff(self.train_indptr))

    def train_sequence(self, user_row: int) -> np.ndarray:
        """int32 (n,), training items of a user, oldest first.

        Args:
            user_row: row of the user.
        """
        return self.train_indices[self.train_indptr[user_row] : self.train_indptr[user_row + 1]]

    def require_cases(self, which: str) -> EvalCases:
        """The cases for validation or test, of which there must be some.

        Args:
            which: ``validation`` or ``test``.

        Raises:
            ValueError: there is no case. The message says why.
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


class _Log:
    """A log that is split: ``indptr``, ``indices`` and ``timestamps`` of a dataset."""

    def __init__(self, indptr: np.ndarray, indices: np.ndarray, timestamps: np.ndarray | None):
        self.indptr, self.indices, self.timestamps = indptr, indices, timestamps
        self.lengths = np.diff(indptr)

    def cases(self, users: np.ndarray, places: np.ndarray, stops: np.ndarray | None = None) -> EvalCases:
        """Cases whose targets lie at ``places`` of ``indices``, and whose evaluation period ends at ``stops``."""
        histories = Histories(self.indices, self.indptr[users], places)
        period_items = None if stops is None else Histories(self.indices, places, stops)
        times = last_times = None
        if self.timestamps is not None:
            times = self.timestamps[places]
            last_times = np.where(places > self.indptr[users], self.timestamps[places - 1], -1)
        return EvalCases(users.astype(np.int32), self.indices[places], histories, period_items, times, last_times)

    def training(self, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """The first ``keep[u]`` interactions of every user u, as indptr, indices and times."""
        position = np.arange(len(self.indices)) - np.repeat(self.indptr[:-1], self.lengths)
        mask = position < np.repeat(keep, self.lengths)
        indptr = np.concatenate([[0], np.cumsum(keep)]).astype(np.int32)
        return indptr, self.indices[mask], None if self.timestamps is None else self.timestamps[mask]


def leave_one_out(indptr: np.ndarray, indices: np.ndarray, timestamps: np.ndarray | None = None) -> RecSplit:
    """Hold out the last interaction of each user for test and the last but one for validation.

    Users with fewer than three interactions are used for training only.

    Args:
        indptr: int (num_users + 1,), where the interactions of each user begin in ``indices``.
        indices: int32 (num_interactions,), item rows per user, oldest first.
        timestamps: int64 (num_interactions,), seconds, aligned with ``indices``; ``None``: the log has no times. They
            do not change what is held out.
    """
    log = _Log(indptr, indices, timestamps)
    users = np.flatnonzero(log.lengths >= 3)
    train_indptr, train_indices, train_times = log.training(np.where(log.lengths >= 3, log.lengths - 2, log.lengths))
    return RecSplit(
        train_indptr,
        train_indices,
        validation=log.cases(users, indptr[users + 1] - 2),
        test=log.cases(users, indptr[users + 1] - 1),
        train_only_users=len(log.lengths) - len(users),
        strategy="leave_one_out",
        train_times=train_times,
    )


def temporal(
    indptr: np.ndarray,
    indices: np.ndarray,
    timestamps: np.ndarray | None,
    validation_share: float = 0.1,
    test_share: float = 0.1,
) -> RecSplit:
    """Split at two points of global time; the first interaction of a user after each point is the target.

    The latest ``test_share`` of all interactions are the test period, the ``validation_share`` before them the
    validation period; training ends where validation begins. A user is evaluated in a period if it has at least one
    interaction there and at least one before the period.

    Args:
        indptr: int (num_users + 1,), where the interactions of each user begin in ``indices``.
        indices: int32 (num_interactions,), item rows per user, oldest first.
        timestamps: int64 (num_interactions,), seconds, aligned with ``indices``.
        validation_share: share of all interactions in the validation period.
        test_share: share of all interactions in the test period.

    Raises:
        ValueError: there are no timestamps, or the shares leave no training period.
    """
    if timestamps is None:
        raise ValueError("the temporal split needs a timestamp column in interactions; this dataset has positions only")
    if not (0 < validation_share and 0 < test_share and validation_share + test_share < 1):
        raise ValueError(
            f"validation_share {validation_share} and test_share {test_share} must be positive, sum below 1"
        )
    begins = np.quantile(timestamps, [1 - validation_share - test_share, 1 - test_share], method="higher")
    begin_validation, begin_test = (int(begin) for begin in begins)
    log = _Log(indptr, indices, timestamps)
    lengths = log.lengths
    users = np.repeat(np.arange(len(lengths)), lengths)
    before_validation = np.bincount(users[timestamps < begin_validation], minlength=len(lengths))
    before_test = np.bincount(users[timestamps < begin_test], minlength=len(lengths))
    in_validation = np.flatnonzero((before_test > before_validation) & (before_validation > 0))
    in_test = np.flatnonzero((lengths > before_test) & (before_test > 0))
    begins_validation, begins_test = indptr[:-1] + before_validation, indptr[:-1] + before_test
    evaluated = len(np.union1d(in_validation, in_test))
    train_indptr, train_indices, train_times = log.training(before_validation)
    return RecSplit(
        train_indptr,
        train_indices,
        validation=log.cases(in_validation, begins_validation[in_validation], stops=begins_test[in_validation]),
        test=log.cases(in_test, begins_test[in_test], stops=indptr[1:][in_test]),
        train_only_users=len(lengths) - evaluated,
        strategy="temporal",
        cuts=(begin_validation, begin_test),
        train_times=train_times,
    )


def split_by(
    strategy: str, indptr: np.ndarray, indices: np.ndarray, timestamps: np.ndarray | None, **shares: float
) -> RecSplit:
    """Split by a strategy of this module.

    Args:
        strategy: ``leave_one_out`` or ``temporal``.
        indptr: int (num_users + 1,), where the interactions of each user begin in ``indices``.
        indices: int32 (num_interactions,), item rows per user, oldest first.
        timestamps: int64 (num_interactions,), seconds, aligned with ``indices``; ``None``: unknown.
        shares: of `temporal`.

    Raises:
        ValueError: an unknown strategy, or see `temporal`.
    """
    if strategy == "leave_one_out":
        return leave_one_out(indptr, indices, timestamps)
    if strategy == "temporal":
        return temporal(indptr, indices, timestamps, **shares)
    raise ValueError(f"unknown split {strategy!r}: leave_one_out or temporal")
