"""Loads the ranker of whatever method a recommender folder holds."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from ..data.recommender_folder import HUB_OPTIONS, load_settings
from ..evaluation.ranker import Ranker

# Per method the module and class of its ranker. Imported when one is needed: `import hf_llmrec` knows of all methods,
# and a process needs one or none.
RANKERS: dict[str, tuple[str, str]] = {
    "lcrec": ("lcrec.recommender", "LCRecRanker"),
    "galrec": ("galrec.recommender", "GALRecRanker"),
    "sasrec": ("dense_recommender", "DenseRanker"),
    "lightgcn": ("dense_recommender", "DenseRanker"),
    "knn": ("dense_recommender", "DenseRanker"),
    "popularity": ("dense_recommender", "DenseRanker"),
}


def ranker_class(method: str, source: str | os.PathLike) -> type:
    """The ranker class of a method that ``source`` names.

    Raises:
        ValueError: a method that this version does not know.
    """
    if method not in RANKERS:
        raise ValueError(f"{source}: unknown method {method!r}; this version knows {sorted(RANKERS)}")
    module, name = RANKERS[method]
    return getattr(import_module(f".{module}", __package__), name)


def load_ranker(path_or_hub_id: str | os.PathLike, **options: Any) -> Ranker:
    """The ranker of a saved model.

    Args:
        path_or_hub_id: a recommender folder or Hub repository.
        options: ``dtype``, ``device``; ``revision``, ``token`` and others of ``from_pretrained``; and whatever replaces
            stored settings of the method (LC-Rec: ``num_beams``, ``normalize``, ``batch_size``, ``prompt``).

    Raises:
        FileNotFoundError: not a recommender folder.
        ValueError: a method that this version does not know.
    """
    where = {name: value for name, value in options.items() if name in HUB_OPTIONS}
    method = load_settings(path_or_hub_id, **where)["method"]
    return ranker_class(method, path_or_hub_id).from_pretrained(path_or_hub_id, **options)
