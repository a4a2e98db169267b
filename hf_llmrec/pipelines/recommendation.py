"""``pipeline("recommendation", model=...)``: item ids in, item ids with titles and scores out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import Pipeline

from ..data.recommender_folder import ItemCatalog, load_settings
from ..models.lcrec.tokenization_lcrec import LCRecTokenizer
from ..prompts.lcrec_prompt import LCRecPrompt
from ..rankers.lcrec import LCRecRanker

logger = logging.getLogger(__name__)


class RecommendationPipeline(Pipeline):
    """Recommends items of a model's catalogue.

    A request is ``{"history": [item ids, oldest first]}``, for LC-Rec optionally with ``"query"``, a wish in free text.
    The answer is a list of ``{"item_id", "title", "score"}``, best first. A list of requests gives a list of answers.

    Call options: ``top_k`` (default 10), ``exclude`` and ``allowed`` (item ids), ``strict`` (an unknown item is an
    error instead of a warning).

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
        source = model.name_or_path
        settings = load_settings(source)
        if settings["method"] != "lcrec":
            raise ValueError(f"{source}: this pipeline does not know method {settings['method']!r}")
        self.catalog = ItemCatalog.load(source)
        self.tokenizer = tokenizer if isinstance(tokenizer, LCRecTokenizer) else LCRecTokenizer.from_pretrained(source)
        self.ranker = LCRecRanker(
            self.model,
            self.tokenizer,
            LCRecPrompt.from_dict(settings["prompt"]),
            num_beams=settings["num_beams"],
            normalize=settings["normalize"],
        )
        self._row = {item: row for row, item in enumerate(self.catalog.item_ids)}

    def _sanitize_parameters(self, top_k=None, exclude=None, allowed=None, strict=None, **unknown):
        if unknown:
            raise ValueError(f"recommendation pipeline: unknown options {sorted(unknown)}")
        if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
            raise ValueError(f"top_k must be a positive integer, got {top_k!r}")
        options = {"top_k": top_k, "exclude": exclude, "allowed": allowed}
        forward = {name: value for name, value in options.items() if value is not None}
        return ({} if strict is None else {"strict": strict}), forward, {}

    def __call__(self, inputs: dict[str, Any] | Sequence[dict[str, Any]], **options: Any):
        single = isinstance(inputs, dict)
        preprocess, forward, _ = self._sanitize_parameters(**options)
        requests = [inputs] if single else list(inputs)
        prepared = [self.preprocess(request, **{**self._preprocess_params, **preprocess}) for request in requests]
        answers = self.postprocess(self._forward(prepared, **{**self._forward_params, **forward}))
        return answers[0] if single else answers

    def _rows(self, item_ids: Sequence[str], field: str, strict: bool) -> np.ndarray:
        if isinstance(item_ids, str):
            raise ValueError(f"{field!r} must be a list of item ids, got the string {item_ids!r}")
        unknown = [item for item in item_ids if item not in self._row]
        if unknown:
            message = f"{len(unknown)} of {len(item_ids)} items in {field!r} are not in the catalogue: {unknown[:5]}"
            if strict:
                raise ValueError(message)
            logger.warning("%s; they are skipped", message)
        return np.array([self._row[item] for item in item_ids if item in self._row], dtype=np.int64)

    def preprocess(self, inputs: dict[str, Any], strict: bool = False) -> dict[str, Any]:
        if not isinstance(inputs, dict) or not ({"history", "query"} & set(inputs)):
            raise ValueError('a request is a dictionary with "history" (list of item ids) and/or "query" (text)')
        extra = sorted(set(inputs) - {"history", "query"})
        if extra:
            raise ValueError(f'a request has "history" and "query" only; got {extra}')
        history = self._rows(inputs.get("history") or [], "history", strict)
        query = inputs.get("query")
        if not len(history) and not query:
            logger.warning("empty history: the model's own answer without a history is given")
        return {"history": history, "query": query}

    def _forward(self, prepared: list[dict[str, Any]], top_k: int = 10, exclude=None, allowed=None):
        barred = None if exclude is None else [self._rows(exclude, "exclude", True)] * len(prepared)
        only = None if allowed is None else self._rows(allowed, "allowed", True)
        prompts = []
        for request in prepared:
            if request["query"]:
                ids = self.ranker.prompt.encode_query(self.tokenizer, request["history"], request["query"])
            else:
                ids = self.ranker.prompt.encode_history(self.tokenizer, request["history"])
            prompts.append(ids)
        return self.ranker.rank_prompts(prompts, top_k, exclude=barred, allowed=only)

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
