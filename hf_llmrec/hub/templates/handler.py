"""Inference Endpoints: copied into published repositories as `handler.py`, beside a `requirements.txt`.

A request is `{"inputs": {"history": [...], "query": "..."}, "parameters": {"top_k": 10}}`, or a list of inputs; the
answer is that of `pipeline("recommendation")`.
"""

from __future__ import annotations

from typing import Any

from transformers import pipeline

from hf_llmrec.pipelines.recommendation import RecommendationPipeline


class EndpointHandler:
    """What Inference Endpoints call.

    Args:
        path: the repository's folder.
    """

    def __init__(self, path: str = ""):
        self.pipeline = pipeline("recommendation", model=path, pipeline_class=RecommendationPipeline)

    def __call__(self, data: dict[str, Any]) -> Any:
        """Answer one request, or a list of them.

        Raises:
            ValueError: a request without inputs, or one that the pipeline refuses.
        """
        if not isinstance(data, dict) or "inputs" not in data:
            raise ValueError('a request is {"inputs": {"history": [item ids]}, "parameters": {"top_k": 10}}')
        return self.pipeline(data["inputs"], **(data.get("parameters") or {}))
