"""What the time of a request says about items: which ones are more frequent lately than usual, and which are new."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from .item_activity import DAY, HOUR, ItemActivity
from .recommender_folder import ItemCatalog

# Lengths in days of the windows before a request in which interactions are counted.
WINDOWS = (7, 30, 90, 365)
# Interactions in proportion to an item's share of all time that are added to the count of a window.
PSEUDO_COUNTS = 50.0
# Standard deviations beyond which gaps between interactions count as no longer or shorter.
MAX_GAP = 3.0
# Age in days from which an item counts as old.
NEW_DAYS = 365.0
FEATURES = (*(f"last_{days}_days" for days in WINDOWS), "newness")


def check_times(times: np.ndarray | None, count: int) -> np.ndarray | None:
    """Check the times of requests and give each one a gap.

    Args:
        times: int (count,), seconds since 1970, or (count, 2) with the time of the history's last interaction beside
            it, -1 where it is not known; ``None``: no times.
        count: number of requests.

    Returns:
        int64 (count, 2); ``None`` without times.

    Raises:
        ValueError: another shape or dtype.
    """
    if times is None:
        return None
    values = np.asarray(times)
    if values.shape not in ((count,), (count, 2)) or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"times must be integers ({count},) or ({count}, 2), got {values.dtype} {values.shape}")
    values = values.astype(np.int64)
    return values if values.ndim == 2 else np.stack([values, np.full(count, -1)], axis=1)


def log_gaps(times: np.ndarray) -> np.ndarray:
    """``log(1 + days)`` between the last interaction and the request, float64 (n,); NaN where it is not known.

    Args:
        times: int64 (n, 2), see `check_times`.
    """
    gaps = np.log1p(np.maximum(times[:, 0] - times[:, 1], 0) / DAY)
    return np.where(times[:, 1] < 0, np.nan, gaps)


def standard_gaps(times: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Standardised `log_gaps`, float64 (n,), within `MAX_GAP` standard deviations; 0 where a gap is not known.

    Args:
        times: int64 (n, 2), see `check_times`.
        mean: of the logarithms.
        std: standard deviation of the logarithms, positive.
    """
    return np.clip(np.nan_to_num((log_gaps(times) - mean) / std, nan=0.0), -MAX_GAP, MAX_GAP)


def item_features(activity: ItemActivity, time: int) -> np.ndarray:
    """Features of every item at a time, from interactions strictly before it.

    For each window of `WINDOWS`: ``log(1 + c / (m s))``, where c is the item's count in the window, s its share of all
    interactions before the time and m = `PSEUDO_COUNTS`. Up to a number that all items have in common, this is the
    logarithm of the item's share in the window, shrunk towards s, over s. ``newness`` is ``log(NEW_DAYS / age)`` for
    items whose first interaction is less than `NEW_DAYS` ago. All features are 0 for items without interactions.

    Args:
        activity: the interactions.
        time: seconds since 1970.

    Returns:
        float32 (num_items, len(FEATURES)).
    """
    total = activity.counts(time)
    seen = np.flatnonzero(total)
    features = np.zeros((activity.num_items, len(FEATURES)), dtype=np.float32)
    share = total[seen] / max(total.sum(), 1)
    for column, days in enumerate(WINDOWS):
        features[seen, column] = np.log1p(activity.counts(time, days)[seen] / (PSEUDO_COUNTS * share))
    age = np.maximum(time / HOUR - activity.first_hours[seen], 24) / 24
    features[seen, -1] = np.log(np.maximum(NEW_DAYS / age, 1.0))
    return features


@dataclass(frozen=True)
class TimeFeatures:
    """A learned score of every item at the time of a request, see `item_features`.

    With g, the standardised logarithm of the days since the user's last interaction (see `standard_gaps`), item i
    gets ``(weights + g * gap_weights) @ features_i / (scale * exp(g * gap_scale))`` added to the model's score. The
    divisor is how much the model's own score counts, which is less after a long time.

    Args:
        activity: the training interactions.
        weights: float64 (F,), of the features in the order of `FEATURES`.
        gap_weights: float64 (F,), change of the weights with g.
        scale: factor of the model's score, positive.
        gap_scale: change of the logarithm of that factor with g.
        gap_mean: mean of the logarithm of gaps.
        gap_std: standard deviation of it, positive.

    Raises:
        ValueError: other lengths, or a number out of range.
    """

    activity: ItemActivity
    weights: np.ndarray
    gap_weights: np.ndarray
    scale: float = 1.0
    gap_scale: float = 0.0
    gap_mean: float = 0.0
    gap_std: float = 1.0

    def __post_init__(self):
        shape = (len(FEATURES),)
        if np.shape(self.weights) != shape or np.shape(self.gap_weights) != shape:
            raise ValueError(f"time features have {len(FEATURES)} weights, got {len(self.weights)}")
        if not (0 < self.scale < np.inf and 0 < self.gap_std < np.inf):
            raise ValueError(f"scale and gap_std must be positive, got {self.scale} and {self.gap_std}")

    def bonus(self, times: np.ndarray) -> csr_matrix:
        """Scores to be added to items.

        Args:
            times: int64 (n, 2), see `check_times`.

        Returns:
            float32 (n, num_items).
        """
        gaps = standard_gaps(times, self.gap_mean, self.gap_std)
        scales = self.scale * np.exp(gaps * self.gap_scale)
        # float32 (n, F)
        weights = ((self.weights + gaps[:, None] * self.gap_weights) / scales[:, None]).astype(np.float32)
        unique, place = np.unique(times[:, 0], return_inverse=True)
        items: list[np.ndarray] = [np.zeros(0, dtype=np.int64)] * len(times)
        values: list[np.ndarray] = [np.zeros(0, dtype=np.float32)] * len(times)
        for number, time in enumerate(unique.tolist()):
            features = item_features(self.activity, time)
            rows = np.flatnonzero(features.any(axis=1))
            for request in np.flatnonzero(place == number).tolist():
                items[request], values[request] = rows, features[rows] @ weights[request]
        indptr = np.concatenate([[0], np.cumsum([len(rows) for rows in items])])
        shape = (len(times), self.activity.num_items)
        if not len(times):
            return csr_matrix(shape, dtype=np.float32)
        return csr_matrix((np.concatenate(values), np.concatenate(items), indptr), shape=shape)

    def take(self, rows: np.ndarray) -> TimeFeatures:
        """The time features of another catalogue.

        Args:
            rows: int (m,), for each item of that catalogue its row in this one; -1 for new items.
        """
        return replace(self, activity=self.activity.take(rows))

    def settings(self) -> dict[str, Any]:
        """The numbers, as JSON values; `save` writes the rest."""
        pairs = zip(FEATURES, self.weights, self.gap_weights, strict=True)
        numbers = {name: getattr(self, name) for name in ("scale", "gap_scale", "gap_mean", "gap_std")}
        return {"weights": {name: [float(weight), float(gap)] for name, weight, gap in pairs}, **numbers}

    def save(self, folder: str | os.PathLike) -> None:
        """Write the activity, see `ItemActivity.save`.

        Args:
            folder: folder of the model.
        """
        self.activity.save(folder)

    @classmethod
    def load(
        cls, path_or_hub_id: str | os.PathLike, settings: dict[str, Any] | None, num_items: int, **hub_kwargs: Any
    ) -> TimeFeatures | None:
        """Read the time features of a recommender.

        Args:
            path_or_hub_id: folder or Hub id of the recommender.
            settings: as of `settings`; ``None``: it has no time features.
            num_items: number of items of the catalogue.
            **hub_kwargs: options of ``from_pretrained`` such as ``revision``.

        Raises:
            FileNotFoundError: the activity is missing.
            ValueError: settings with other features than `FEATURES`.
        """
        if not settings:
            return None
        if set(settings["weights"]) != set(FEATURES):
            raise ValueError(f"{path_or_hub_id}: time features {sorted(settings['weights'])}, known are {FEATURES}")
        weights, gap_weights = np.array([settings["weights"][name] for name in FEATURES]).T
        numbers = {name: settings[name] for name in ("scale", "gap_scale", "gap_mean", "gap_std")}
        activity = ItemActivity.load(path_or_hub_id, num_items, **hub_kwargs)
        return cls(activity, weights, gap_weights, **numbers)


def added_scores(
    catalog: ItemCatalog,
    item_bonus: np.ndarray | None,
    features: TimeFeatures | None,
    times: np.ndarray | None,
    count: int,
) -> np.ndarray | csr_matrix | None:
    """What is added to the scores of a model: the caller's bonus, and that of the times of the requests.

    Args:
        catalog: the items.
        item_bonus: float (num_items,) or (count, num_items), finite; ``None``: none.
        features: of the recommender; ``None``: it has none, and times change nothing.
        times: see `check_times`; ``None``: not known.
        count: number of requests.

    Returns:
        float (count, num_items), dense or sparse; ``None``: nothing is added.

    Raises:
        ValueError: see `ItemCatalog.check_bonus` and `check_times`.
    """
    bonus, checked = catalog.check_bonus(item_bonus, count), check_times(times, count)
    if features is None or checked is None:
        return bonus
    return add_sparse(bonus, features.bonus(checked))


def add_sparse(added: np.ndarray | csr_matrix | None, more: csr_matrix) -> np.ndarray | csr_matrix:
    """Add sparse scores to others.

    Args:
        added: float (n, num_items), dense or sparse; ``None``: nothing yet.
        more: float (n, num_items).
    """
    if isinstance(added, np.ndarray):
        return added + more.toarray()
    return more if added is None else csr_matrix(added + more)


def rows_of(bonus: np.ndarray | csr_matrix, rows: np.ndarray) -> np.ndarray:
    """Some rows of what `added_scores` returns, dense.

    Args:
        bonus: float (n, num_items), dense or sparse.
        rows: int (m,), numbers of the rows.
    """
    return bonus[rows] if isinstance(bonus, np.ndarray) else bonus[rows].toarray()
