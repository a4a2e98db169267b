"""`FusionRecommender`: a weighted ensemble of recommenders of any methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from ...data.interactions import RecDataset
from ...data.recommender_folder import HUB_OPTIONS
from ...data.splits import EvalCases, RecSplit
from ...evaluation.top_k import rank_dense_scores
from ...recommender import Recommender
from .candidates import NORMALIZATIONS, normalized, part_scores, union
from .configuration_fusion import FusionConfig
from .fit import FusionCases, FusionWeights, fit_weights
from .modeling_fusion import FusionModel
from .parts import check_part_names, load_part, save_parts


class FusionRecommender(Recommender):
    """A weighted ensemble: ranks by the weighted sum of the scores of several recommenders.

    Every part proposes its best ``num_candidates`` items, and every part scores the union of them. The parts may be of
    any methods: only `Recommender.rank` and `Recommender.score` are used.

    Args:
        parts: the recommenders by name, all of the same catalogue.
        model: their weights; default: equal ones.
        normalize: ``none``, or ``zscore``: each part's scores minus their mean, divided by their standard deviation,
            over the items that are proposed to the user.
        num_candidates: items that each part proposes.
        long_history: histories from this length on have the second group's weights; ``None``: there is one group.
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
        normalize: str = "zscore",
        num_candidates: int = 100,
        long_history: int | None = None,
        references: Mapping[str, str] | None = None,
    ):
        if not parts:
            raise ValueError("a fusion needs at least one part")
        if normalize not in NORMALIZATIONS:
            raise ValueError(f"normalize must be one of {NORMALIZATIONS}, got {normalize!r}")
        check_part_names(parts)
        first_name, first = next(iter(parts.items()))
        for name, part in parts.items():
            if part.item_ids != first.item_ids:
                raise ValueError(
                    f"the parts {first_name!r} ({len(first.item_ids)} items) and {name!r} ({len(part.item_ids)} items) "
                    "have other items, or another order of them: train them on the same dataset"
                )
        groups = 1 if long_history is None else 2
        if model is None:
            model = FusionModel(FusionConfig(num_parts=len(parts), num_groups=groups))
        if model.weights.shape != (groups, len(parts)):
            raise ValueError(f"weights must be ({groups}, {len(parts)}), got {tuple(model.weights.shape)}")
        super().__init__(model, first.catalog)
        self.parts, self.normalize, self.num_candidates = dict(parts), normalize, num_candidates
        self.long_history, self.references = long_history, dict(references or {})
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
        normalize: str | None = None,
        by_history: bool = True,
        references: Mapping[str, str] | None = None,
    ) -> FusionRecommender:
        """Choose the weights on validation users, see `fit_weights`.

        Args:
            parts: the recommenders by name.
            dataset: the dataset that all of them were trained on.
            split: how it was split.
            cases: the users; default: the split's validation users.
            num_candidates: items that each part proposes.
            normalize: ``none`` or ``zscore``; default: the better of both.
            by_history: whether short and long histories may have weights of their own.
            references: Hub ids of parts that are saved as references, by name.
        """
        cases = split.require_cases("validation") if cases is None else cases
        cls(parts, num_candidates=num_candidates).trained_on(dataset, split)  # checks before anything is ranked
        measured = FusionCases(list(parts.values()), cases, num_candidates)
        chosen = fit_weights(measured, normalize=normalize, by_history=by_history)
        fusion = cls.of_weights(parts, chosen, num_candidates=num_candidates, references=references)
        fusion.trained_on(dataset, split)
        return fusion

    @classmethod
    def of_weights(cls, parts: Mapping[str, Recommender], chosen: FusionWeights, **options: Any) -> FusionRecommender:
        """A fusion with given weights.

        Args:
            parts: the recommenders by name.
            chosen: their weights.
            options: ``num_candidates`` and ``references``.
        """
        groups, count = chosen.weights.shape
        model = FusionModel(FusionConfig(num_parts=count, num_groups=groups))
        model.weights.data = torch.from_numpy(chosen.weights).float()
        return cls(parts, model, normalize=chosen.normalize, long_history=chosen.long_history, **options)

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
        stored = {name: settings[name] for name in ("normalize", "num_candidates", "long_history")}
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
        names = ("normalize", "num_candidates", "long_history")
        return {"parts": parts, **{name: getattr(self, name) for name in names}}

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
        items = proposed = self._proposed(histories, **known, **limits)
        if k > self.num_candidates:
            items = self._proposed(histories, k, **known, **limits)
        if bonus is not None:
            most, _ = rank_dense_scores(np.array(bonus), max(k, self.num_candidates), **limits)
            items = [np.union1d(rows, each[each >= 0]) for rows, each in zip(items, most, strict=True)]
        scores = self._combine(histories, proposed, items, **known)
        ranked, values = np.full((len(histories), k), -1, dtype=np.int64), np.full((len(histories), k), -np.inf)
        for number, (rows, own) in enumerate(zip(items, scores, strict=True)):
            own = own if bonus is None else own + bonus[number, rows]
            best = np.argsort(-own, kind="stable")[:k]  # equal scores stay in the order of the items
            ranked[number, : len(best)], values[number, : len(best)] = rows[best], own[best]
        return ranked, values

    def score(self, histories, candidates, *, user_ids=None, times=None):
        rows, known = self.catalog.check_rows(candidates, len(histories)), {"user_ids": user_ids, "times": times}
        return self._combine(histories, self._proposed(histories, **known), rows, **known)

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
        return float(self.weights[:, list(self.parts).index(name)].mean())

    @property
    def weights(self) -> torch.Tensor:
        """Float (groups, parts)."""
        return cast(FusionModel, self.model).weights

    def _proposed(self, histories: Sequence[np.ndarray], k: int | None = None, **options: Any) -> list[np.ndarray]:
        """The items that the parts propose to each user, sorted."""
        count = min(self.num_candidates if k is None else k, len(self.item_ids))
        return union([part.rank(histories, count, **options)[0] for part in self.parts.values()])

    @torch.no_grad()
    def _combine(
        self,
        histories: Sequence[np.ndarray],
        proposed: Sequence[np.ndarray],
        items: Sequence[np.ndarray],
        **known: Any,
    ) -> list[np.ndarray]:
        """Weighted scores of items, made comparable over those that were proposed."""
        together = [np.union1d(one, other) for one, other in zip(proposed, items, strict=True)]
        scores = part_scores(list(self.parts.values()), histories, together, **known)
        combined = []
        for number, (every, own) in enumerate(zip(together, scores, strict=True)):
            among = own[:, np.searchsorted(every, proposed[number])]
            chosen = normalized(own[:, np.searchsorted(every, items[number])], among, self.normalize)
            is_long = self.long_history is not None and len(histories[number]) >= self.long_history
            group = torch.tensor([int(is_long)], device=self.model.device)
            total = self.model(torch.from_numpy(chosen).to(self.model.device)[None], group)
            combined.append(total[0].double().cpu().numpy())
        return combined
