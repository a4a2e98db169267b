"""``pipeline("recommendation", model=...)``: item ids in, item ids with titles and scores out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast, overload

import numpy as np
from transformers import Pipeline, PreTrainedModel, PreTrainedTokenizerBase

from ..data.recommender_folder import load_settings
from ..data.requests import Request
from ..evaluation.request_ranking import rank_requests
from ..methods.auto import recommender_class


class RecommendationPipeline(Pipeline):
    """Recommends items of a model's catalogue.

    A request is ``{"history": [item ids, oldest first]}``. It may have ``"exclude"`` and ``"allowed"`` (item ids),
    which apply in addition to those of the call, and for LC-Rec a ``"query"``, a wish in free text. The answer is a
    list of ``{"item_id", "title", "score"}``, best first. A list of requests gives a list of answers.

    Call options: ``top_k`` (default 10), ``exclude`` and ``allowed`` (item ids; an empty ``allowed`` gives an empty
    answer), ``strict`` (an unknown item is an error instead of a warning), ``batch_size`` (requests ranked at once;
    default: all).

    Tokenizer and catalogue are read from the model's folder or repository. For a model that is passed as an object,
    this is its ``name_or_path``.

    Args:
        model: a loaded model of a recommender folder; ``pipeline`` loads it.
        args: positional arguments of `transformers.Pipeline`.
        tokenizer: replaces the tokenizer of the model's folder, for methods that have one.
        kwargs: keyword arguments of `transformers.Pipeline`.

    Attributes:
        recommender: the recommender around the model.

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

    def __init__(
        self, model: PreTrainedModel, *args: Any, tokenizer: PreTrainedTokenizerBase | None = None, **kwargs: Any
    ):
        super().__init__(model, *args, **kwargs)
        source, hub_options = model.name_or_path, getattr(model, "hub_options", {})
        if source is None:
            raise ValueError("the model has no name_or_path, from which its tokenizer and catalogue would be read")
        method = load_settings(source, **hub_options)["method"]
        cls = recommender_class(method, source)
        self.recommender = cls.from_model(self.model, source, hub_options, tokenizer=tokenizer)
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

    @overload
    def __call__(self, inputs: dict[str, Any], **options: Any) -> list[dict[str, Any]]: ...

    @overload
    def __call__(self, inputs: Iterable[dict[str, Any]], **options: Any) -> list[list[dict[str, Any]]]: ...

    def __call__(
        self, inputs: dict[str, Any] | Iterable[dict[str, Any]], **options: Any
    ) -> list[dict[str, Any]] | list[list[dict[str, Any]]]:
        """Answer one request or several.

        Args:
            inputs: a request, or an iterable of requests.
            options: see the class.

        Returns:
            The answer, or a list of answers in the order of the requests.

        Raises:
            ValueError: an invalid request or option.
        """
        single = isinstance(inputs, dict)
        # No dictionary is an iterable of dictionaries: those are not hashable, so they cannot be its keys.
        requests = [cast("dict[str, Any]", inputs)] if single else list(inputs)
        preprocess, forward, _ = self._sanitize_parameters(**options)
        prepared = [self.preprocess(request, **{**self._preprocess_params, **preprocess}) for request in requests]
        size = options.get("batch_size") or self._batch_size or max(len(prepared), 1)
        answers: list[list[dict[str, Any]]] = []
        for start in range(0, len(prepared), size):
            batch = prepared[start : start + size]
            answers += self.postprocess(self._forward(batch, **{**self._forward_params, **forward}))
        return answers[0] if single else answers

    def preprocess(self, inputs: dict[str, Any], strict: bool = False) -> Request:
        """Read one request.

        Args:
            inputs: the request.
            strict: an unknown item of the history is an error instead of a warning.
        """
        return self.recommender.requests.read(inputs, strict=strict)

    def _forward(self, prepared: list[Request], top_k: int = 10, exclude=None, allowed=None):
        limits = self.recommender.requests.limits({"exclude": exclude, "allowed": allowed})
        return rank_requests(self.recommender, prepared, top_k, *limits)

    def postprocess(self, model_outputs: tuple[np.ndarray, np.ndarray]) -> list[list[dict[str, Any]]]:
        """Convert rankings to answers with ids, titles and scores.

        Args:
            model_outputs: item rows int64 (n, k), -1 for padding, and scores float (n, k).
        """
        return self.recommender.catalog.answers(*model_outputs)
