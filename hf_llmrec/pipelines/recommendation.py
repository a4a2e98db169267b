"""``pipeline("recommendation", model=...)``: item ids in, item ids with titles and scores out."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import numpy as np
from transformers import Pipeline

from ..data.recommender_folder import ItemCatalog, load_settings
from ..methods.auto import ranker_class

logger = logging.getLogger(__name__)


class RecommendationPipeline(Pipeline):
    """Recommends items of a model's catalogue.

    A request is ``{"history": [item ids, oldest first]}``, for LC-Rec optionally with ``"query"``, a wish in free text,
    and for all models with ``"exclude"`` and ``"allowed"``, item ids, which hold beside those of the call.
    The answer is a list of ``{"item_id", "title", "score"}``, best first. A list of requests gives a list of answers.

    Call options: ``top_k`` (default 10), ``exclude`` and ``allowed`` (item ids; no item allowed: no answer), ``strict``
    (an unknown item is an error instead of a warning), ``batch_size`` (requests ranked at once).

    Tokenizer and catalogue are read from where the model was. A model that is passed as an object is looked up by its
    ``name_or_path``.

    Example:
        ```python
        import hf_llmrec
        from transformers import pipeline

        rec = pipeline("recommendation", model="path/or/hub-id")
        rec({"history": ["B004756YJA", "B004ZT0SSG"]}, top_k=10)
        ```
    """

    _load_tokenizer = False
    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False

    def __init__(self, model, *args, tokenizer=None, **kwargs):
        super().__init__(model, *args, **kwargs)
        source, where = model.name_or_path, getattr(model, "hub_options", {})
        method = load_settings(source, **where)["method"]
        self.catalog = ItemCatalog.load(source, **where)
        self.ranker = ranker_class(method, source).from_model(self.model, source, where, tokenizer=tokenizer)
        self.tokenizer = getattr(self.ranker, "tokenizer", None)
        self._row = {item: row for row, item in enumerate(self.catalog.item_ids)}

    def _sanitize_parameters(
        self, top_k=None, exclude=None, allowed=None, strict=None, batch_size=None, num_workers=None, **unknown
    ):
        if unknown:
            raise ValueError(f"recommendation pipeline: unknown options {sorted(unknown)}")
        for name, value in {"top_k": top_k, "batch_size": batch_size}.items():
            if value is not None and (not isinstance(value, (int, np.integer)) or value < 1):
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        options = {"top_k": None if top_k is None else int(top_k), "exclude": exclude, "allowed": allowed}
        forward = {name: value for name, value in options.items() if value is not None}
        return ({} if strict is None else {"strict": strict}), forward, {}

    def __call__(self, inputs: dict[str, Any] | Iterable[dict[str, Any]], **options: Any):
        single = isinstance(inputs, dict)
        preprocess, forward, _ = self._sanitize_parameters(**options)
        requests = [inputs] if single else list(inputs)
        prepared = [self.preprocess(request, **{**self._preprocess_params, **preprocess}) for request in requests]
        size = options.get("batch_size") or self._batch_size or max(len(prepared), 1)
        answers: list[list[dict[str, Any]]] = []
        for start in range(0, len(prepared), size):
            batch = prepared[start : start + size]
            answers += self.postprocess(self._forward(batch, **{**self._forward_params, **forward}))
        return answers[0] if single else answers

    def _rows(self, item_ids: Iterable[str], field: str, strict: bool) -> np.ndarray:
        if isinstance(item_ids, str) or not isinstance(item_ids, Iterable):
            raise ValueError(f"{field!r} must be a list of item ids, got {item_ids!r}")
        items = list(item_ids)
        wrong = next((item for item in items if not isinstance(item, str)), None)
        if wrong is not None:
            raise ValueError(f"{field!r} must hold item ids, which are strings; got {wrong!r}")
        unknown = [item for item in items if item not in self._row]
        if unknown:
            message = f"{len(unknown)} of {len(items)} items in {field!r} are not in the catalogue: {unknown[:5]}"
            if strict:
                raise ValueError(message)
            logger.warning("%s; they are skipped", message)
        return np.array([self._row[item] for item in items if item in self._row], dtype=np.int64)

    def preprocess(self, inputs: dict[str, Any], strict: bool = False) -> dict[str, Any]:
        if not isinstance(inputs, dict) or not ({"history", "query"} & set(inputs)):
            raise ValueError('a request is a dictionary with "history" (list of item ids) and/or "query" (text)')
        extra = sorted(set(inputs) - {"history", "query", "exclude", "allowed"})
        if extra:
            raise ValueError(f'a request has "history", "query", "exclude" and "allowed" only; got {extra}')
        history, query = inputs.get("history"), inputs.get("query")
        if query is not None and not isinstance(query, str):
            raise ValueError(f'"query" must be text, got {query!r}')
        if query and not hasattr(self.ranker, "rank_queries"):
            raise ValueError(f"{self.model.name_or_path} reads histories only: it has no use for a query")
        rows = self._rows(() if history is None else history, "history", strict)
        if not len(rows) and not query:
            logger.warning("empty history: the model's own answer without a history is given")
        return {"history": rows, "query": query, **self._limits(inputs)}

    def _limits(self, given: dict[str, Any]) -> dict[str, np.ndarray | None]:
        """Rows of the ``exclude`` and ``allowed`` items, sorted; ``None`` where there is no limit."""
        names = ("exclude", "allowed")
        return {n: None if given.get(n) is None else np.unique(self._rows(given[n], n, True)) for n in names}

    def _forward(self, prepared: list[dict[str, Any]], top_k: int = 10, exclude=None, allowed=None):
        of_call = self._limits({"exclude": exclude, "allowed": allowed})
        barred = [_both(np.union1d, of_call["exclude"], request["exclude"]) for request in prepared]
        only = [_both(np.intersect1d, of_call["allowed"], request["allowed"]) for request in prepared]
        # What is ranked at once has one set of allowed items, and is all wishes or all histories.
        groups: dict[tuple[bool, bytes | None], list[int]] = {}
        for number, request in enumerate(prepared):
            key = (bool(request["query"]), None if only[number] is None else only[number].tobytes())
            groups.setdefault(key, []).append(number)
        rows = np.full((len(prepared), top_k), -1, dtype=np.int64)
        scores = np.full((len(prepared), top_k), -np.inf)
        nothing = np.zeros(0, dtype=np.int64)
        for (is_wish, _), numbers in groups.items():
            histories = [prepared[i]["history"] for i in numbers]
            left_out = [nothing if barred[i] is None else barred[i] for i in numbers]
            limits = {"exclude": left_out if any(map(len, left_out)) else None, "allowed": only[numbers[0]]}
            if is_wish:
                queries = [prepared[i]["query"] for i in numbers]
                rows[numbers], scores[numbers] = self.ranker.rank_queries(histories, queries, top_k, **limits)
            else:
                rows[numbers], scores[numbers] = self.ranker.rank(histories, top_k, **limits)
        return rows, scores

    def postprocess(self, model_outputs) -> list[list[dict[str, Any]]]:
        ids, titles = self.catalog.item_ids, self.catalog.titles
        return [
            [
                {"item_id": ids[row], "title": titles[row], "score": float(score)}
                for row, score in zip(rows, scores, strict=True)
                if row >= 0
            ]
            for rows, scores in zip(*model_outputs, strict=True)
        ]


def _both(join, first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    """``join`` of two sets of rows, of which either may be missing."""
    if first is None or second is None:
        return second if first is None else first
    return join(first, second)
