"""Rankers that are read from a recommender folder."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from transformers import AutoModel, PreTrainedModel

from .data.recommender_folder import HUB_OPTIONS
from .evaluation.ranker import Ranker


class FolderRanker(Ranker):
    """A ranker around a model, with what lies beside the model in its folder.

    Attributes:
        auto_class: loads the model.
    """

    auto_class: ClassVar[type] = AutoModel

    @classmethod
    def from_pretrained(
        cls, path_or_hub_id: str | os.PathLike, *, dtype: torch.dtype | str = "auto", device=None, **options: Any
    ) -> FolderRanker:
        """Load a recommender folder; for ``options`` see `load_ranker`."""
        where = {name: options.pop(name) for name in HUB_OPTIONS if name in options}
        model = cls.auto_class.from_pretrained(path_or_hub_id, dtype=dtype, **where)
        return cls.from_model(model if device is None else model.to(device), path_or_hub_id, where, **options)

    @classmethod
    @abstractmethod
    def from_model(
        cls,
        model: PreTrainedModel,
        path_or_hub_id: str | os.PathLike,
        where: Mapping[str, Any],
        *,
        tokenizer=None,
        **options: Any,
    ) -> FolderRanker:
        """A loaded model with the rest of its folder.

        Args:
            where: the revision, token and the like (`HUB_OPTIONS`) that the model was read with.
            tokenizer: used instead of the folder's, by methods that have one.
            options: settings that replace stored ones where they are not ``None``.
        """
