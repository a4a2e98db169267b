"""`FusionRecommender`: a weighted ensemble of recommenders of any methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from ...data.interactions import RecDataset
from ...data.recommender_folder import HUB_OPTIONS
from ...data.splits import EvalCases, RecSplit
from ...evaluation.top_k import rank_dense_scores
from ...recommender import Recommender
from .candidates import normalized, part_scores, union
from .cold_items import ColdWeights, check_cold_parts, fit_cold_weights, items_without_interactions
from .configuration_fusion import FusionConfig
from .fit import FusionCases, FusionWeights, fit_weights
from .modeling_fusion import FusionModel
from .parts import check_part_names, load_part, save_parts


class FusionRecommender(Recommender):
    """A weighted ensemble: ranks by the weighted sum of the scores of several recommenders.

    Every part proposes its best ``num_candidates`` items, and every part scores the union of them. What is weighted are
    its scores minus their mean, divided by their standard deviation over the union. The parts may be of any methods:
    only `Recommender.rank` and `Recommender.score` are used.

    Args:
        parts: the recommenders by name, all of the same catalogue.
        model: their weights; default: equal ones.
        num_candidates: items that each part proposes.
        references: Hub ids of parts that are saved as references, by name; the others are saved inside.

    Raises:
        ValueError: no parts, parts of different catalogues, or weights for another number of parts.

    Example:
        ```python
        parts = {name: AutoRecommender.from_pretrained(f"me/{name}-shop") for name in ("sasrec", "lcrec")}
        fusion = FusionRecommender.fit(parts, dataset, dataset.split())
        fusion.save_pretrained("out/fusion")
        ```
    """

    method = "fusion"
    supports_item_bonus = True
    supports_time_features = False

    def __init__(
        self,
        parts: Mapping[str, Recommender],
        model: FusionModel | None = None,
        *,
        num_candidates: int = 100,
        references: Mapping[str, str] | None = None,
    ):
        if not parts:
            raise ValueError("a fusion needs at least one part")
        check_part_names(parts)
        first_name, first = next(iter(parts.items()))
        for name, part in parts.items():
            if part.item_ids != first.item_ids:
                raise ValueError(
                    f"the parts {first_name!r} ({len(first.item_ids)} items) and {name!r} ({len(part.item_ids)} items) "
                    "have other items, or another order of them: train them on the same dataset"
                )
        if model is not None and model.config.num_items not in (0, len(first.item_ids)):
            raise ValueError(f"weights for {model.config.num_items} items, but the parts have {len(first.item_ids)}")
        if model is None:
            model = FusionModel(FusionConfig(num_parts=len(parts)))
        if model.weights.shape != (len(parts),):
            raise ValueError(f"weights must be ({len(parts)},), got {tuple(model.weights.shape)}")
        super().__init__(model, first.catalog)
        self.parts, self.num_candidates, self.references = dict(parts), num_candidates, dict(references or {})
        self.supports_query = any(part.supports_query for part in parts.values())
        self.supports_similar_items = any(part.supports_similar_items for part in parts.values())

    @classmethod
    def fit(
        cls,
        parts: Mapping[str, Recommender],
        dataset: RecDataset,
        split: RecSplit,
        cases: EvalCases | None = None,
        *,
        num_candidates: int = 100,
        by_history: bool = True,
        references: Mapping[str, str] | None = None,
        cold_parts: Mapping[str, Recommender] | None = None,
        cold_split: RecSplit | None = None,
    ) -> FusionRecommender:
        """Choose the weights on validation users, see `fit_weights` and, for cold items, `fit_cold_weights`.

        Args:
            parts: the recommenders by name.
            dataset: the dataset that all of them were trained on.
            split: how it was split.
            cases: the users; default: the split's validation users.
            num_candidates: items that each part proposes.
            by_history: whether weights may depend on the length of the history.
            references: Hub ids of parts that are saved as references, by name.
            cold_parts: parts that have a say about items without training interactions, by name, each trained once more
                with further items held out, on ``cold_split``; ``None``: such items are scored like all others.
            cold_split: the split that ``cold_parts`` were trained on.

        Raises:
            ValueError: ``cold_parts`` that do not fit the parts, or without ``cold_split``.
        """
        if cold_parts and cold_split is None:
            raise ValueError("cold_split is needed with cold_parts: the split that they were trained on")
        check_cold_parts(parts, cold_parts or {})
        cases = split.require_cases("validation") if cases is None else cases
        cls(parts, num_candidates=num_candidates).trained_on(dataset, split)  # checks before anything is ranked
        is_cold = items_without_interactions(split, len(dataset.item_ids)) if cold_parts else None
        measured = FusionCases(list(parts.values()), cases, num_candidates, is_cold)
        chosen = fit_weights(measured, by_history=by_history)
        cold = None
        if cold_parts and cold_split is not None:
            cold = fit_cold_weights(parts, cold_parts, chosen, split, cold_split, cases, num_candidates=num_candidates)
        fusion = cls.of_weights(parts, chosen, cold, num_candidates=num_candidates, references=references)
        fusion.trained_on(dataset, split)
        return fusion

    @classmethod
    def of_weights(
        cls, parts: Mapping[str, Recommender], chosen: FusionWeights, cold: ColdWeights | None = None, **options: Any
    ) -> FusionRecommender:
        """A fusion with given weights.

        Args:
            parts: the recommenders by name.
            chosen: their weights.
            cold: those for items without training interactions; ``None``: the same ones.
            options: ``num_candidates`` and ``references``.
        """
        num_items = 0 if cold is None else len(cold.is_cold)
        config = FusionConfig(
            num_parts=len(chosen.weights), mean_log_length=chosen.mean_log_length, num_items=num_items
        )
        model = FusionModel(config)
        model.weights.data = torch.from_numpy(chosen.weights).float()
        model.length_weights.data = torch.from_numpy(chosen.length_weights).float()
        if cold is not None:
            model.is_cold.copy_(torch.from_numpy(cold.is_cold))
            model.cold_weights.data = torch.from_numpy(cold.weights).float()
            model.cold_bias.data = torch.tensor([cold.bias])
        return cls(parts, model, **options)

    @classmethod
    def from_pretrained(cls, path_or_hub_id, *, dtype="auto", device=None, **options):
        """Load a fusion and its parts, see [`Recommender.from_pretrained`].

        Args:
            path_or_hub_id: folder, or ``owner/name``.
            dtype: of the parts' weights; the weights of the parts themselves stay in float32.
            device: where the models go; default: the CPU.
            options: those of [`Recommender.from_pretrained`]; ``batch_size`` and, for LC-Rec, ``memory`` are the
                parts'.
        """
        model = FusionModel.from_pretrained(
            path_or_hub_id, **{name: options[name] for name in HUB_OPTIONS if name in options}
        )
        where = {name: options.pop(name) for name in HUB_OPTIONS if name in options}
        model = model if device is None else model.to(device)  # pyright: ignore[reportArgumentType]  # a wrong stub
        return cls.from_model(model, path_or_hub_id, where, dtype=dtype, **options)

    @classmethod
    def _from_folder(cls, model, settings, catalog, path_or_hub_id, where, *, tokenizer=None, **options):
        every = {name: options.pop(name) for name in ("dtype", "batch_size") if name in options}
        own = {"lcrec": {"memory": options.pop("memory")} if "memory" in options else {}}
        parts = {
            entry["name"]: load_part(
                entry, path_or_hub_id, model.device, where, {**every, **own.get(entry["method"], {})}
            )
            for entry in settings["parts"]
        }
        references = {entry["name"]: entry["source"] for entry in settings["parts"] if "source" in entry}
        stored = {"num_candidates": settings["num_candidates"]}
        return cls(parts, model, references=references, **{**stored, **options})

    def settings(self):
        parts = [
            {
                "name": name,
                "method": part.method,
                **({"source": self.references[name]} if name in self.references else {}),
            }
            for name, part in self.parts.items()
        ]
        return {"parts": parts, "num_candidates": self.num_candidates}

    def save_pretrained(self, folder, *, is_main_process=True, save_model=None):
        """Write a recommender folder, see [`Recommender.save_pretrained`], with the parts that are no references."""
        inside = {name: part for name, part in self.parts.items() if name not in self.references}

        def save(staging: Path) -> None:
            if is_main_process:
                self._save_weights(staging)
            save_parts(inside, staging, is_main_process=is_main_process)  # all processes: saving a part waits for them

        super().save_pretrained(folder, is_main_process=is_main_process, save_model=save_model or save)

    @property
    def max_history(self) -> int | None:
        """Largest ``max_history`` of the parts; ``None`` if one of them reads full histories."""
        lengths = [part.max_history for part in self.parts.values()]
        return None if None in lengths else max(lengths)  # pyright: ignore[reportArgumentType]  # there is no None

    @property
    def uses_times(self) -> bool:
        """Whether a part has time features; a fusion has none of its own."""
        return any(part.uses_times for part in self.parts.values())

    @property
    def fallback(self) -> str | None:
        """Why a part ranks in a slower way than its own; ``None``: none does."""
        return next((part.fallback for part in self.parts.values() if part.fallback), None)

    def rank(self, histories, k, *, user_ids=None, times=None, exclude=None, allowed=None, item_bonus=None):
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        bonus = self.catalog.check_bonus(item_bonus, len(histories))
        limits, known = {"exclude": exclude, "allowed": allowed}, {"user_ids": user_ids, "times": times}
        proposed, ranked = self._proposed(histories, **known, **limits)
        items = proposed
        if k > self.num_candidates:
            items, ranked = self._proposed(histories, k, **known, **limits)
        if bonus is not None:
            most, _ = rank_dense_scores(np.array(bonus), max(k, self.num_candidates), **limits)
            items = [np.union1d(rows, each[each >= 0]) for rows, each in zip(items, most, strict=True)]
        scores = self._combine(histories, proposed, items, ranked, **known)
        best_rows, values = np.full((len(histories), k), -1, dtype=np.int64), np.full((len(histories), k), -np.inf)
        for number, (rows, own) in enumerate(zip(items, scores, strict=True)):
            own = own if bonus is None else own + bonus[number, rows]
            best = np.argsort(-own, kind="stable")[:k]  # equal scores stay in the order of the items
            best_rows[number, : len(best)], values[number, : len(best)] = rows[best], own[best]
        return best_rows, values

    def score(self, histories, candidates, *, user_ids=None, times=None):
        rows, known = self.catalog.check_rows(candidates, len(histories)), {"user_ids": user_ids, "times": times}
        proposed, ranked = self._proposed(histories, **known)
        return self._combine(histories, proposed, rows, ranked, **known)

    def rank_queries(self, histories, queries, k, *, exclude=None, allowed=None):
        """Rank for queries in free text: by the part that reads them, with the largest weight of several."""
        readers = [name for name, part in self.parts.items() if part.supports_query]
        if not readers:
            return super().rank_queries(histories, queries, k, exclude=exclude, allowed=allowed)
        part = self.parts[max(readers, key=self._weight_of)]
        return part.rank_queries(histories, queries, k, exclude=exclude, allowed=allowed)

    def _similarities(self, rows):
        return self._most_similar._similarities(rows)

    def item_vectors(self):
        """Those of the part that `similar_items` asks: of those that can answer, the one with the largest weight."""
        return self._most_similar.item_vectors()

    @property
    def _most_similar(self) -> Recommender:
        able = [name for name, part in self.parts.items() if part.supports_similar_items]
        if not able:
            raise NotImplementedError("no part of this fusion has item vectors")
        return self.parts[max(able, key=self._weight_of)]

    def _weight_of(self, name: str) -> float:
        return float(self.weights[list(self.parts).index(name)])

    @property
    def weights(self) -> torch.Tensor:
        """Float (parts,), of users with a history of typical length."""
        return cast(FusionModel, self.model).weights

    def _proposed(
        self, histories: Sequence[np.ndarray], k: int | None = None, **options: Any
    ) -> tuple[list[np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
        """The items that the parts propose to each user, sorted, and the parts' rankings; of the cold items, parts that
        have a say about them propose more."""
        count = min(self.num_candidates if k is None else k, len(self.item_ids))
        ranked = [part.rank(histories, count, **options) for part in self.parts.values()]
        lists = [rows for rows, _ in ranked]
        if self.is_cold is not None and self.is_cold.any():
            allowed = np.flatnonzero(self.is_cold)
            if options.get("allowed") is not None:
                allowed = np.intersect1d(allowed, options["allowed"])
            weights = cast(FusionModel, self.model).cold_weights.tolist()
            knowing = [part for part, weight in zip(self.parts.values(), weights, strict=True) if weight]
            lists += [part.rank(histories, count, **{**options, "allowed": allowed})[0] for part in knowing]
        return union(lists), ranked

    @cached_property
    def is_cold(self) -> np.ndarray | None:
        """Bool (num_items,), items without training interactions, weighed apart; ``None``: there is no such thing."""
        model = cast(FusionModel, self.model)
        return model.is_cold.cpu().numpy() if model.config.num_items else None

    @torch.no_grad()
    def _combine(
        self,
        histories: Sequence[np.ndarray],
        proposed: Sequence[np.ndarray],
        items: Sequence[np.ndarray],
        ranked: Sequence[tuple[np.ndarray, np.ndarray]],
        **known: Any,
    ) -> list[np.ndarray]:
        """Weighted scores of items, made comparable over those that were proposed."""
        together = [np.union1d(one, other) for one, other in zip(proposed, items, strict=True)]
        scores = part_scores(list(self.parts.values()), histories, together, ranked=ranked, **known)
        combined = []
        for number, (every, own) in enumerate(zip(together, scores, strict=True)):
            # Parts that have never seen an item say nothing about it: it does not count for means and deviations.
            seen = proposed[number] if self.is_cold is None else proposed[number][~self.is_cold[proposed[number]]]
            among = own[:, np.searchsorted(every, seen)]
            chosen = normalized(own[:, np.searchsorted(every, items[number])], among)
            length = torch.tensor([len(histories[number])], device=self.model.device)
            rows = torch.from_numpy(items[number]).to(self.model.device)[None]
            total = self.model(torch.from_numpy(chosen).to(self.model.device)[None], length, rows)
            combined.append(total[0].double().cpu().numpy())
        return combined
