"""Ranking metrics with several relevant items per user, by the usual definitions (those of trec_eval)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..data.splits import Histories
from .metrics import HIT_RATE_CUTOFFS, MAX_CUTOFF, NDCG_CUTOFFS, check_cutoffs, parse_metric

RECALL_CUTOFFS = (5, 10)


@dataclass(frozen=True, eq=False)
class Relevance:
    """Which places of each user's ranking hold a relevant item.

    Attributes:
        hits: bool (n, depth), by 0-based place.
        num_relevant: int64 (n,), distinct relevant items of each user, at least 1, whether ranked or not.
    """

    hits: np.ndarray
    num_relevant: np.ndarray

    @classmethod
    def of(cls, item_rows: np.ndarray, relevant: Sequence[np.ndarray] | Histories) -> Relevance:
        """Mark the relevant items of rankings.

        Args:
            item_rows: int (n, depth), best first, -1 as padding. A ranking never names an item twice.
            relevant: n int arrays of item rows (>= 0), none empty. An item that occurs twice counts once.

        Raises:
            ValueError: lengths differ, or a user has no relevant item.
        """
        rows = np.asarray(item_rows, dtype=np.int64)
        if rows.ndim != 2 or len(relevant) != len(rows):
            raise ValueError(
                f"item_rows must be (n, depth) and relevant n arrays; got {rows.shape} and {len(relevant)}"
            )
        hits = np.zeros(rows.shape, dtype=bool)
        num_relevant = np.zeros(len(rows), dtype=np.int64)
        for user, ranking in enumerate(rows):
            items = np.unique(relevant[user])
            if not items.size:
                raise ValueError(f"user {user} has no relevant item")
            hits[user], num_relevant[user] = np.isin(ranking, items), items.size
        return cls(hits, num_relevant)

    @property
    def first_ranks(self) -> np.ndarray:
        """int64 (n,), 0-based place of the best-placed relevant item, -1 where none is ranked."""
        return np.where(self.hits.any(axis=1), self.hits.argmax(axis=1), -1).astype(np.int64)

    def per_user(self, metric: str) -> np.ndarray:
        """Contribution of every user to a metric, float64 (n,): its mean is the metric.

        - ``hit_rate@k``: 1 if a relevant item is among the first k (trec_eval's success).
        - ``recall@k``: share of the relevant items that are among the first k.
        - ``ndcg@k``: DCG of binary gains, divided by that of a ranking which begins with all relevant items.
        - ``mrr@k``: reciprocal rank of the first relevant item, 0 beyond k.
        - ``map@k``: precision at the place of each relevant item among the first k, summed, divided by the number of
          relevant items.

        Args:
            metric: one of these names.

        Raises:
            ValueError: another name, or a cut-off beyond the end of the rankings.
        """
        functions: dict[str, Callable[[int], np.ndarray]] = {
            "hit_rate": lambda k: np.asarray(self.hits[:, :k].any(axis=1), dtype=np.float64),
            "recall": lambda k: np.asarray(self.hits[:, :k].sum(axis=1) / self.num_relevant),
            "ndcg": self._ndcg,
            "mrr": self._reciprocal_rank,
            "map": self._average_precision,
        }
        name, k = parse_metric(metric, tuple(functions), self.hits.shape[1])
        return functions[name](k)

    def _ndcg(self, k: int) -> np.ndarray:
        discounts = 1.0 / np.log2(np.arange(2.0, k + 2))
        ideal = np.cumsum(discounts)[np.minimum(self.num_relevant, k) - 1]
        return (self.hits[:, :k] * discounts).sum(axis=1) / ideal

    def _reciprocal_rank(self, k: int) -> np.ndarray:
        ranks = self.first_ranks
        return np.where((ranks >= 0) & (ranks < k), 1.0 / (ranks + 1.0 + (ranks < 0)), 0.0)

    def _average_precision(self, k: int) -> np.ndarray:
        hits = self.hits[:, :k]
        precision = np.cumsum(hits, axis=1) / np.arange(1.0, k + 1)
        return (precision * hits).sum(axis=1) / self.num_relevant

    def metrics(self, depth: int = MAX_CUTOFF, ks: Sequence[int] = ()) -> dict[str, float | int]:
        """Means over users, under the names of `ranking_metrics` and with ``recall@5`` and ``recall@10``.

        Args:
            depth: metrics with a larger cut-off are left out.
            ks: further cut-offs, for which ``hit_rate@k``, ``recall@k``, ``ndcg@k``, ``mrr@k`` and ``map@k`` are given.

        Raises:
            ValueError: no user, or a cut-off below 1.
        """
        if not len(self.hits):
            raise ValueError("there is no user to evaluate: a ranking metric needs at least one")
        usual = (("hit_rate", HIT_RATE_CUTOFFS), ("ndcg", NDCG_CUTOFFS), ("recall", RECALL_CUTOFFS))
        names = [f"{name}@{k}" for name, cutoffs in usual for k in cutoffs]
        names += [f"{name}@{k}" for k in check_cutoffs(ks) for name in ("hit_rate", "recall", "ndcg", "mrr", "map")]
        means: dict[str, float | int] = {
            name: float(self.per_user(name).mean()) for name in names if int(name.partition("@")[2]) <= depth
        }
        return {**means, "num_users": len(self.hits)}
