"""Loads the ranker of whatever method a recommender folder holds."""

from __future__ import annotations

import os
from typing import Any

from ..data.recommender_folder import load_settings
from ..evaluation.ranker import Ranker
from .lcrec import LCRecRanker

RANKERS: dict[str, type] = {"lcrec": LCRecRanker}


def load_ranker(path_or_hub_id: str | os.PathLike, **overrides: Any) -> Ranker:
    """The ranker of a saved model.

    Raises:
        FileNotFoundError: not a recommender folder.
        ValueError: a method that this version does not know.
    """
    method = load_settings(path_or_hub_id)["method"]
    if method not in RANKERS:
        raise ValueError(f"{path_or_hub_id}: unknown method {method!r}; this version knows {sorted(RANKERS)}")
    return RANKERS[method].from_pretrained(path_or_hub_id, **overrides)
