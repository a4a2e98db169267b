"""``pipeline("recommendation", model=...)``: item ids in, item ids with titles and scores out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from transformers import Pipeline

from ..data.recommender_folder import load_settings
from ..data.requests import Request
from ..evaluation.request_ranking import rank_requests
from ..methods.auto import recommender_class


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
        kind = recommender_class(method, source)
        self.recommender = kind.from_model(self.model, source, where, tokenizer=tokenizer)
        self.tokenizer = getattr(self.recommender, "tokenizer", None)

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

    def preprocess(self, inputs: dict[str, Any], strict: bool = False) -> Request:
        return self.recommender.requests.read(inputs, strict=strict)

    def _forward(self, prepared: list[Request], top_k: int = 10, exclude=None, allowed=None):
        limits = self.recommender.requests.limits({"exclude": exclude, "allowed": allowed})
        return rank_requests(self.recommender, prepared, top_k, *limits)

    def postprocess(self, model_outputs) -> list[list[dict[str, Any]]]:
        return self.recommender.catalog.answers(*model_outputs)
