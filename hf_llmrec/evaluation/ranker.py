"""The interface that evaluation needs of a model, and that of recommenders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:  # `import hf_llmrec` imports this file, and does not need SciPy
    from ..data.splits import EvalCases
    from ..data.time_features import TimeFeatures


class Ranker(ABC):
    """Ranks the catalogue for a batch of histories.

    Attributes:
        item_ids: the catalogue, in the row order that `rank` speaks of.
        max_history: how many of the latest items of a history the model reads (``None``: all).
        fallback: why rankings so far were made in a slower way than the model's own; ``None``: they were not.
    """

    item_ids: list[str]
    max_history: int | None = None
    fallback: str | None = None

    @abstractmethod
    def rank(
        self,
        histories: Sequence[np.ndarray],
        k: int,
        *,
        user_ids: Sequence[str] | None = None,
        times: np.ndarray | None = None,
        exclude: Sequence[np.ndarray] | None = None,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Best ``k`` items for each history.

        Args:
            histories: n int arrays of item rows, oldest first; may be empty arrays.
            k: how many items to return, at least 1.
            user_ids: n ids, for models that know users. Others ignore them.
            times: int64 (n,), when each request is made, in seconds since 1970; or (n, 2), with the time of the
                history's last interaction beside it, -1 where it is not known. For models with time features; others
                ignore them. ``None``: not known, and time features are left out.
            exclude: n int arrays of item rows that must not be returned.
            allowed: int array of the only item rows that may be returned, for all histories; empty: none.

        Returns:
            ``item_rows`` int64 (n, k), best first, padded with -1 where fewer items qualify; ``scores`` float (n, k),
            higher is better, -inf at padding. Equal scores keep the item order.
        """


def check_same_items(ranker: Ranker, cases: EvalCases) -> None:
    """Refuse cases of another catalogue than the ranker's: their item rows mean other items.

    Args:
        ranker: the ranker.
        cases: of a split.

    Raises:
        ValueError: other items, or another order of them.
    """
    if cases.item_ids is not None and list(cases.item_ids) != list(ranker.item_ids):
        raise ValueError(
            f"the model's {len(ranker.item_ids)} items are not the dataset's {len(cases.item_ids)}, in the same order: "
            "fit on the catalogue that it was trained on"
        )


class RequestRanker(Ranker):
    """A ranker that requests may ask for more: the base of recommenders.

    Attributes:
        method: name of the method, as folders and commands know it; empty in classes that several methods start from.
        supports_query: whether `rank_queries` reads free text.
        supports_item_bonus: whether `rank` can add scores to items.
        supports_time_features: whether it may have time features of its own.
        time_features: what is added to the scores of items at the time of a request; ``None``: nothing, and ``times``
            change nothing.
    """

    method: ClassVar[str] = ""
    supports_query: bool = False
    supports_item_bonus: bool = False
    supports_time_features: bool = True
    time_features: TimeFeatures | None = None

    @property
    def uses_times(self) -> bool:
        """Whether rankings depend on the times of requests."""
        return self.time_features is not None

    @abstractmethod
    def rank(
        self,
        histories: Sequence[np.ndarray],
        k: int,
        *,
        user_ids: Sequence[str] | None = None,
        times: np.ndarray | None = None,
        exclude: Sequence[np.ndarray] | None = None,
        allowed: np.ndarray | None = None,
        item_bonus: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Best ``k`` items for each history, see `Ranker.rank`.

        Args:
            histories: n int arrays of item rows, oldest first; may be empty arrays.
            k: how many items to return, at least 1.
            user_ids: n ids, for models that know users. Others ignore them.
            times: int64 (n,), when each request is made, in seconds since 1970; or (n, 2), with the time of the
                history's last interaction beside it, -1 where it is not known. For models with time features; others
                ignore them. ``None``: not known, and time features are left out.
            exclude: n int arrays of item rows that must not be returned.
            allowed: int array of the only item rows that may be returned, for all histories; empty: none.
            item_bonus: where `supports_item_bonus`, float (num_items,) or (n, num_items), finite: added to the score of
                each item before the best are chosen, in the unit of the method's scores. LC-Rec adds it during the
                search, so that an item with a high bonus is found wherever its index lies.

        Returns:
            ``item_rows`` int64 (n, k), best first, padded with -1 where fewer items qualify; ``scores`` float (n, k),
            higher is better, with the bonus, -inf at padding. Equal scores keep the item order.

        Raises:
            ValueError: ``k`` below 1, or times or a bonus of another shape, or one that is not finite.
        """

    def rank_queries(
        self,
        histories: Sequence[np.ndarray],
        queries: Sequence[str],
        k: int,
        *,
        exclude: Sequence[np.ndarray] | None = None,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rank for wishes in free text, where `supports_query`; the other arguments and the result are those of `rank`.

        Args:
            histories: n int arrays of item rows; may be empty arrays.
            queries: n texts.
            k: how many items, at least 1.
            exclude: n int arrays of item rows that must not be returned.
            allowed: int array of the only item rows that may be returned.
        """
        raise ValueError(f"{self.method} reads histories only: it has no use for a query")
