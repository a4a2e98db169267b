"""`Recommender`: a trained method with its catalogue, as an object that loads, answers, is evaluated and published."""

from __future__ import annotations

import os
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from transformers import AutoModel, PreTrainedModel

from .data.interactions import RecDataset
from .data.recommender_folder import HUB_OPTIONS, ItemCatalog, load_settings
from .data.recommender_saving import save_recommender
from .data.requests import RequestReader
from .data.same_data import data_facts
from .data.splits import EvalCases, RecSplit
from .data.time_features import TimeFeatures
from .evaluation.evaluator import EvaluationResult, evaluate_ranker
from .evaluation.ranker import RequestRanker
from .evaluation.request_ranking import rank_requests
from .evaluation.top_k import rank_dense_scores
from .hub.publish import publish


class Recommender(RequestRanker):
    """A model with its catalogue and the settings that it recommends with: what a recommender folder holds.

    Subclasses, one per method, add how the model is asked. Open a saved one of any method by
    `hf_llmrec.AutoRecommender`.

    Args:
        model: of the method.
        catalog: the items in the model's row order; or item ids alone, whose titles are empty then.

    Attributes:
        method: name of the method, as folders and commands know it; empty in classes that several methods start from.
        auto_class: transformers' class that loads the model.
        supports_query: whether a request may hold a wish in free text.
        supports_similar_items: whether `similar_items` has something to go by.
        supports_item_bonus: whether `rank` can add scores to items.
        is_pretrained: whether its language model's weights were loaded; a training chooses defaults by it.
        adapted: the `peft.PeftModel` around ``model``, if it was trained with adapters, which are merged when it is
            saved; ``None``: there are none.
        dataset_name: of the dataset that the model was trained on; ``None``: unknown.
        training_data: what the model was trained on, which `evaluate` commands hold against their data: protocol,
            fingerprint and others; empty: unknown.
    """

    auto_class: ClassVar[type] = AutoModel
    supports_similar_items: bool = True
    is_pretrained: bool = True

    def __init__(self, model: PreTrainedModel, catalog: ItemCatalog | Sequence[str]):
        self.model = model
        self.catalog = catalog if isinstance(catalog, ItemCatalog) else ItemCatalog.of_ids(catalog)
        self.item_ids = list(self.catalog.item_ids)
        self.adapted: Any = None
        self.dataset_name: str | None = None
        self.training_data: dict[str, Any] = {}

    # -- loading ------------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        path_or_hub_id: str | os.PathLike,
        *,
        dtype: torch.dtype | str = "auto",
        device: torch.device | str | None = None,
        **options: Any,
    ) -> Recommender:
        """Load a recommender folder or Hub repository.

        Args:
            path_or_hub_id: folder, or ``owner/name``.
            dtype: of the weights; default: as they were saved.
            device: where the model goes; default: the CPU.
            options: ``revision``, ``token``, ``subfolder`` and others of transformers' ``from_pretrained``; and what
                replaces stored settings of the method (LC-Rec: ``num_beams``, ``normalize``, ``batch_size``,
                ``prompt``).

        Raises:
            FileNotFoundError: not a recommender folder.
            ValueError: a recommender of another method.
        """
        where = {name: options.pop(name) for name in HUB_OPTIONS if name in options}
        model = cls.auto_class.from_pretrained(path_or_hub_id, dtype=dtype, **where)
        return cls.from_model(model if device is None else model.to(device), path_or_hub_id, where, **options)

    @classmethod
    def from_model(
        cls,
        model: PreTrainedModel,
        path_or_hub_id: str | os.PathLike,
        where: Mapping[str, Any],
        *,
        tokenizer=None,
        **options: Any,
    ) -> Recommender:
        """A loaded model with the rest of its folder.

        Args:
            model: of the folder.
            path_or_hub_id: the folder, or ``owner/name``.
            where: the revision, token and the like (`HUB_OPTIONS`) that the model was read with.
            tokenizer: used instead of the folder's, by methods that have one.
            options: settings that replace stored ones where they are not ``None``.

        Raises:
            ValueError: a recommender of another method.
        """
        settings, catalog = load_settings(path_or_hub_id, **where), ItemCatalog.load(path_or_hub_id, **where)
        if cls.method and settings["method"] != cls.method:
            raise ValueError(f"{path_or_hub_id}: a recommender of {settings['method']!r}, not of {cls.method!r}")
        given = {name: value for name, value in options.items() if value is not None}
        made = cls._from_folder(model, settings, catalog, path_or_hub_id, where, tokenizer=tokenizer, **given)
        made.dataset_name, made.training_data = settings.get("dataset"), settings.get("data", {})
        made.time_features = TimeFeatures.load(
            path_or_hub_id, settings.get("time_features"), len(made.item_ids), **where
        )
        return made

    @classmethod
    @abstractmethod
    def _from_folder(cls, model, settings, catalog, path_or_hub_id, where, *, tokenizer=None, **options) -> Recommender:
        """`from_model`, given the folder's settings and catalogue, and only options that are not ``None``."""

    # -- asking -------------------------------------------------------------------------------------------------------

    def recommend(
        self,
        requests: Iterable[Mapping[str, Any]],
        top_k: int = 10,
        *,
        exclude: Sequence[str] | None = None,
        allowed: Sequence[str] | None = None,
        strict: bool = False,
    ) -> list[list[dict[str, Any]]]:
        """Items with titles and scores for requests in item ids.

        Args:
            requests: each ``{"history": [item ids, oldest first]}``; where `supports_query`, also ``"query"``, a wish
                in free text, with or without a history. Optionally ``"exclude"`` and ``"allowed"``, item ids. Models
                with time features also read ``"time"``, that of the request (default: now), and ``"last_time"``, that
                of the last interaction, in seconds since 1970 or as ISO text.
            top_k: how many items, at least 1.
            exclude: item ids that nobody is recommended.
            allowed: the only item ids that may be recommended; empty: none.
            strict: an unknown item of a history is an error instead of a warning.

        Returns:
            per request a list of ``{"item_id", "title", "score"}``, best first; shorter where fewer items qualify.

        Raises:
            ValueError: a request that cannot be read, see `RequestReader.read`.
        """
        limits = self.requests.limits({"exclude": exclude, "allowed": allowed})
        read = [self.requests.read(request, strict=strict) for request in requests]
        return self.catalog.answers(*rank_requests(self, read, top_k, *limits))

    @cached_property
    def requests(self) -> RequestReader:
        """Reads requests in ids of the catalogue."""
        name = self.model.name_or_path or f"a {self.method} recommender"
        return RequestReader(self.item_ids, supports_query=self.supports_query, name=name)

    @abstractmethod
    def score(
        self,
        histories: Sequence[np.ndarray],
        candidates: Sequence[np.ndarray],
        *,
        user_ids: Sequence[str] | None = None,
        times: np.ndarray | None = None,
    ) -> list[np.ndarray]:
        """Scores of given items, those that `rank` gives them: for second stages and for combining methods.

        Args:
            histories: n int arrays of item rows, oldest first.
            candidates: n int arrays of item rows, of any lengths.
            user_ids: n ids, for models that know users. Others ignore them.
            times: int64 (n,) or (n, 2), see `rank`.

        Returns:
            n float64 arrays, a score per candidate.

        Raises:
            ValueError: not as many candidates as histories, or a row that is not in the catalogue.
        """

    def similar_items(self, item_ids: Sequence[str], top_k: int = 10) -> list[list[dict[str, Any]]]:
        """Items that the method holds to be most like given ones: what a product page shows.

        Args:
            item_ids: of the catalogue.
            top_k: how many, at least 1. An item is not similar to itself.

        Returns:
            per item a list of ``{"item_id", "title", "score"}``, best first.

        Raises:
            ValueError: an unknown item, or a method that knows nothing of single items (`supports_similar_items`).
        """
        if not self.supports_similar_items:
            raise ValueError(f"{self.method} knows nothing of single items that would make two of them similar")
        rows = self.requests.rows(item_ids, "item_ids")
        ranking = rank_dense_scores(self._similarities(rows), top_k, exclude=list(rows[:, None]))
        return self.catalog.answers(*ranking)

    def _similarities(self, rows: np.ndarray) -> np.ndarray:
        """Float (n, num_items), of the items in ``rows`` to all; the cosine of `item_vectors`."""
        vectors = self.item_vectors().astype(np.float32)
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors[rows] @ vectors.T

    def item_vectors(self) -> np.ndarray:
        """What the model knows of each item by itself, float32 (num_items, d).

        Raises:
            NotImplementedError: a method without item vectors.
        """
        raise NotImplementedError(f"{self.method} has no item vectors")

    # -- evaluating, saving -------------------------------------------------------------------------------------------

    def evaluate(
        self,
        cases: EvalCases,
        *,
        k: int = 10,
        ks: Sequence[int] = (),
        targets: str = "first",
        mask_seen: bool = False,
        request_times: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> EvaluationResult:
        """Full-ranking metrics on a split's cases, see `evaluate_ranker`.

        Args:
            cases: such as ``dataset.split().test``.
            k: length of the rankings. Metrics with a larger cut-off are left out.
            ks: further cut-offs, such as ``(20, 50)``, of HR, NDCG, MRR and MAP; rankings are made as long.
            targets: ``first``, the first item after the history is relevant; ``all``, so is every item of the user in
                the evaluation period of a temporal split, and recall is given, too.
            mask_seen: never recommend an item of the user's history.
            request_times: let the model know when each case's request is made; most public figures do not.
            on_progress: called with (cases done, cases of this process).

        Returns:
            a mapping of metrics, with ``ranks`` of every case beside it.

        Raises:
            ValueError: there is no case, or the cases are of another catalogue.
        """
        options = {"ks": ks, "targets": targets, "mask_seen": mask_seen, "request_times": request_times}
        return evaluate_ranker(self, cases, k=k, on_progress=on_progress, **options)

    def trained_on(self, dataset: RecDataset, split: RecSplit) -> None:
        """Note what the model was trained on; `save_pretrained` writes it, and commands refuse other data.

        Args:
            dataset: the split's.
            split: whose training interactions the model sees.

        Raises:
            ValueError: a dataset of other items than the model's.
        """
        if self.item_ids != list(dataset.item_ids):
            raise ValueError(
                f"dataset {dataset.name!r} ({dataset.num_items} items) has other items, or another order of them, than "
                f"the recommender ({len(self.item_ids)} items)"
            )
        self.dataset_name = dataset.name
        self.training_data = data_facts(dataset, split)
        self.catalog = ItemCatalog(self.catalog.item_ids, self.catalog.titles, dataset.fingerprint)

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """How the method recommends, as JSON values for ``recommender.json``; ``from_pretrained`` reads them."""

    def save_pretrained(
        self,
        folder: str | os.PathLike,
        *,
        is_main_process: bool = True,
        save_model: Callable[[Path], None] | None = None,
    ) -> None:
        """Write a recommender folder: model, tokenizer, catalogue and settings.

        All files are written under a hidden name first, so that a killed save leaves the old recommender as it was.

        Args:
            folder: made if it does not exist; of an earlier recommender in it nothing stays that is read.
            is_main_process: whether this process writes. Where several train together, all call
                ``trainer.save_recommender``, which gathers weights and passes this.
            save_model: writes the weights into a given folder, on all processes; default: those of ``model``.
        """

        def save(staging: Path) -> None:
            if save_model is not None:
                save_model(staging)
            if is_main_process:
                if save_model is None:
                    self._save_weights(staging)
                self._save_beside(staging)
                if self.time_features is not None:
                    self.time_features.save(staging)

        about = {"dataset": self.dataset_name, "data": self.training_data, **self.settings()}
        if self.time_features is not None:
            about["time_features"] = self.time_features.settings()
        save_recommender(folder, self.method, self.catalog, about, save, is_writer=is_main_process)

    def _save_weights(self, folder: Path) -> None:
        """Write the model's weights; adapters are merged."""
        if self.adapted is None:
            self.model.save_pretrained(folder)
            return
        from .training.merged_copy import merged_copy  # imports PEFT, which recommending needs not

        merged_copy(self.adapted).save_pretrained(folder)

    def _save_beside(self, folder: Path) -> None:
        """Write what the method needs beside weights, catalogue and settings: nothing, but for methods that say so."""

    def push_to_hub(
        self, repo_id: str, *, private: bool | None = None, token: str | None = None, revision: str | None = None
    ) -> str:
        """Save to the Hub, with a model card; see `hf_llmrec.hub.publish.publish`.

        Args:
            repo_id: ``name`` or ``owner/name``; made if there is none.
            private: whether a repository that is made is private.
            token: of a user who may write there; default: the one that is logged in.
            revision: branch; default: ``main``.

        Returns:
            the commit's address.
        """
        with tempfile.TemporaryDirectory() as folder:
            named = Path(folder) / repo_id.rpartition("/")[2]
            self.save_pretrained(named)
            return publish(named, repo_id, private=private, token=token, revision=revision)
