"""Runs a `Ranker` over evaluation cases, on one process or several, and counts every user exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.splits import TARGETS, EvalCases
from .metrics import check_cutoffs, metric_values, ranking_metrics, target_ranks
from .processes import gather_share, process_share
from .ranker import Ranker
from .relevance import Relevance


@dataclass(eq=False, repr=False)
class EvaluationResult(Mapping):
    """A mapping of metrics, and the rankings that they were computed from.

    Attributes:
        metrics: by name, see `ranking_metrics`; with several relevant items per user see `Relevance.metrics`.
        ranks: int64 (n,), 0-based rank of every case's target, -1 for a miss, in the order of the cases. With several
            relevant items: of the best-placed one.
        item_rows: int64 (n, k), the dataset rows that were recommended, -1 as padding.
        seconds: wall-clock time of the ranking on this process.
        relevance: where the relevant items were ranked; ``None`` with one relevant item per user.
    """

    metrics: dict[str, float | int]
    ranks: np.ndarray
    item_rows: np.ndarray
    seconds: float
    relevance: Relevance | None = None

    def __getitem__(self, name: str) -> float | int:
        return self.metrics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    def __repr__(self) -> str:
        return repr(self.metrics)

    def per_user(self, metric: str) -> np.ndarray:
        """Contribution of every user to a metric, float64 (n,): its mean is the metric.

        Args:
            metric: such as ``ndcg@10``, see `metric_values` and `Relevance.per_user`.

        Raises:
            ValueError: an unknown metric, or a cut-off beyond the end of the rankings.
        """
        if self.relevance is not None:
            return self.relevance.per_user(metric)
        return metric_values(self.ranks, metric, self.item_rows.shape[1])

    def catalogue_coverage(self, num_items: int) -> float:
        """Share of the catalogue that was recommended to somebody.

        Args:
            num_items: size of the catalogue.
        """
        return len(np.unique(self.item_rows[self.item_rows >= 0])) / num_items


def catalog_mapping(ranker_ids: Sequence[str], dataset_ids: Sequence[str]) -> np.ndarray | None:
    """int64 map from the ranker's rows to the dataset's, or ``None`` when both have the same order.

    Args:
        ranker_ids: item ids in the ranker's row order.
        dataset_ids: item ids in the dataset's row order.

    Raises:
        ValueError: the two catalogues do not hold the same items.
    """
    if list(ranker_ids) == list(dataset_ids):
        return None
    row = {item: index for index, item in enumerate(dataset_ids)}
    unknown = [item for item in ranker_ids if item not in row]
    if unknown or len(ranker_ids) != len(dataset_ids):
        sample = f", for example {unknown[0]!r}" if unknown else ""
        raise ValueError(
            f"the model's catalogue ({len(ranker_ids)} items) does not match the dataset's ({len(dataset_ids)} items): "
            f"{len(unknown)} of the model's items are not in the dataset{sample}. Use the dataset it was trained on."
        )
    return np.array([row[item] for item in ranker_ids], dtype=np.int64)


def evaluate_ranker(
    ranker: Ranker,
    cases: EvalCases,
    dataset_item_ids: Sequence[str] | None = None,
    *,
    user_ids: Sequence[str] | None = None,
    k: int = 10,
    ks: Sequence[int] = (),
    targets: str = "first",
    mask_seen: bool = False,
    request_times: bool = False,
    chunk_size: int = 1024,
    on_progress: Callable[[int, int], None] | None = None,
) -> EvaluationResult:
    """Rank the entire catalogue for every case and compute HR and NDCG (full ranking; a hit is the same item id).

    Under several processes (``accelerate launch``, torchrun) each process ranks a contiguous share and all receive
    the same result: ranks are gathered per case and the metrics computed once, so they equal a single process's.

    Args:
        ranker: the model.
        cases: who is evaluated, with which history and target (item rows of the dataset).
        dataset_item_ids: the dataset's item ids in row order; default: those of the cases, or else the ranker's.
        user_ids: ids of all users of the dataset, for rankers that know users; default: those of the cases.
        k: length of the rankings, at least 1. Metrics with a larger cut-off are left out.
        ks: further cut-offs, for which rankings are made longer, see `ranking_metrics`. LC-Rec searches with more beams
            for a longer ranking, which may change its top, too.
        targets: ``first``: the relevant item is the first one after the history. ``all``: so is every item of the user
            in the evaluation period, which a temporal split has; metrics are then those of `Relevance.metrics`.
        mask_seen: never recommend an item of the user's history.
        request_times: pass the times of the cases to the ranker, which is then asked what is known at that moment.
        chunk_size: cases per call of `Ranker.rank`.
        on_progress: called with (cases done, cases of this process).

    Raises:
        ValueError: there is no case, ``k`` is below 1, the catalogues differ, the ranker returns rankings of another
            shape than (cases, k), or all targets are asked for and the split is not temporal.
    """
    if targets not in TARGETS:
        raise ValueError(f"targets must be one of {TARGETS}, got {targets!r}")
    times = cases.request_times if request_times else None
    if request_times and times is None:
        raise ValueError("request_times needs a dataset with a timestamp column: these cases have no times")
    relevant = cases.period_items if targets == "all" else None
    if targets == "all" and relevant is None:
        raise ValueError("targets='all' needs the cases of a temporal split: others hold out one interaction per user")
    if not len(cases):
        raise ValueError("nobody can be evaluated: there is no case (the split has held out no interaction)")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    k = max(k, *check_cutoffs(ks), 1)
    if dataset_item_ids is None:
        dataset_item_ids = ranker.item_ids if cases.item_ids is None else cases.item_ids
    users = cases.user_ids if user_ids is None else user_ids
    share = process_share(len(cases))
    start, stop = share.start, share.stop
    to_dataset = catalog_mapping(ranker.item_ids, dataset_item_ids)
    to_ranker = None if to_dataset is None else np.argsort(to_dataset)
    pieces: list[np.ndarray] = []
    began = time.perf_counter()
    for first in range(start, stop, chunk_size):
        last = min(first + chunk_size, stop)
        histories = [cases.histories[i] for i in range(first, last)]
        if to_ranker is not None:
            histories = [to_ranker[history] for history in histories]
        ids = None if users is None else [users[int(u)] for u in cases.user_rows[first:last]]
        # Rankers of other packages need not know of times.
        known: dict[str, Any] = {} if times is None else {"times": times[first:last]}
        rows, _ = ranker.rank(histories, k, user_ids=ids, exclude=histories if mask_seen else None, **known)
        if np.shape(rows) != (len(histories), k):
            raise ValueError(
                f"{type(ranker).__name__}.rank must return ({len(histories)}, {k}) rows, got {np.shape(rows)}"
            )
        pieces.append(rows if to_dataset is None else np.where(rows >= 0, to_dataset[rows], -1))
        if on_progress is not None:
            on_progress(last - start, stop - start)
    seconds = time.perf_counter() - began
    mine = np.concatenate(pieces) if pieces else np.empty((0, k), dtype=np.int64)
    item_rows = np.concatenate(gather_share([mine]))
    if relevant is not None:
        relevance = Relevance.of(item_rows, relevant)
        return EvaluationResult(relevance.metrics(k, ks), relevance.first_ranks, item_rows, seconds, relevance)
    ranks = target_ranks(item_rows, cases.targets)
    return EvaluationResult(ranking_metrics(ranks, k, ks), ranks, item_rows, seconds)
