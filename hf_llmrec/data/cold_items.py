"""Holding out items: a share of the catalogue that nobody has interacted with until the test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .splits import EvalCases, Histories, RecSplit


@dataclass(frozen=True)
class ColdItems:
    """Which items are held out.

    Args:
        share: share of the catalogue, above 0 and below 1.
        seed: of the choice; several: the items that any of these choices holds. Kept as one number or a sorted tuple.

    Raises:
        ValueError: a share out of range, or no seed.
    """

    share: float
    seed: int | Sequence[int] = 0

    def __post_init__(self):
        if not 0 < self.share < 1:
            raise ValueError(f"cold_items must be a share of the catalogue between 0 and 1, got {self.share}")
        several = self.seed if isinstance(self.seed, Iterable) else [self.seed]
        seeds = sorted({int(seed) for seed in several})
        if not seeds:
            raise ValueError("cold_seed must be one or more seeds, got none")
        # The same choice is written in one way: it belongs to the fingerprint of a split.
        object.__setattr__(self, "seed", seeds[0] if len(seeds) == 1 else tuple(seeds))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, also of a single one."""
        return (self.seed,) if isinstance(self.seed, int) else tuple(self.seed)

    @property
    def facts(self) -> dict[str, Any]:
        """The options of `RecDataset.split` that make this choice, as JSON values."""
        return {"cold_items": self.share, "cold_seed": self.seeds[0] if len(self.seeds) == 1 else list(self.seeds)}

    def choose(self, num_items: int) -> np.ndarray:
        """The held-out items of a catalogue, at least one per seed and not all.

        Args:
            num_items: size of the catalogue.

        Returns:
            bool (num_items,).

        Raises:
            ValueError: several seeds that together leave no item.
        """
        count = min(max(round(self.share * num_items), 1), num_items - 1)
        chosen = np.zeros(num_items, dtype=bool)
        for seed in self.seeds:
            chosen[np.random.default_rng(seed).choice(num_items, count, replace=False)] = True
        if chosen.all():
            raise ValueError(f"cold_items {self.share:g} with cold_seed {list(self.seeds)} leaves no item to train on")
        return chosen

    def __str__(self) -> str:
        return f"cold{self.share:g}-{'+'.join(map(str, self.seeds))}"


def hold_out_items(split: RecSplit, num_items: int, cold: ColdItems) -> RecSplit:
    """Remove all interactions with some items from training, validation and all histories.

    Test cases keep their targets: those with a held-out item are the cold ones. Users whose validation target is held
    out have no validation case. Histories may become empty. The catalogue stays complete.

    Args:
        split: a split with all items.
        num_items: size of the catalogue.
        cold: which items.
    """
    is_cold = cold.choose(num_items)
    kept = ~is_cold[split.train_indices]
    before = np.concatenate([[0], np.cumsum(kept)])
    return replace(
        split,
        train_indptr=before[split.train_indptr].astype(np.int32),
        train_indices=split.train_indices[kept],
        train_times=None if split.train_times is None else split.train_times[kept],
        validation=_cases(split.validation, is_cold, is_validation=True),
        test=_cases(split.test, is_cold, is_validation=False),
        cold=cold,
        is_cold=is_cold,
        period_lengths=np.diff(split.train_indptr),
    )


def _cases(cases: EvalCases, is_cold: np.ndarray, *, is_validation: bool) -> EvalCases:
    """Cases without the held-out items in their histories; of a validation also without cases with such a target."""
    cases = cases.take(np.flatnonzero(~is_cold[cases.targets])) if is_validation else cases
    period = cases.period_items
    if period is not None and is_validation:
        period = _without(period, is_cold)
    histories = _without(cases.histories, is_cold)
    last_times = cases.last_times
    if last_times is not None:
        # The last interaction that is left is not looked up: where one was removed at the end, its time is not known.
        ends = [len(each) > 0 and not is_cold[each[-1]] for each in map(cases.histories.__getitem__, range(len(cases)))]
        last_times = np.where(np.array(ends, dtype=bool), last_times, -1)
    return replace(cases, histories=histories, period_items=period, last_times=last_times)


def _without(histories: Histories, is_cold: np.ndarray) -> Histories:
    """The histories without the held-out items."""
    kept = [history[~is_cold[history]] for history in (histories[number] for number in range(len(histories)))]
    stops = np.cumsum([len(history) for history in kept]).astype(np.int64)
    indices = np.concatenate([np.zeros(0, dtype=np.int32), *kept])
    return Histories(indices, np.concatenate([[0], stops[:-1]]) if len(stops) else stops, stops)
