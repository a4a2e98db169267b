"""The handler of Inference Endpoints. Copied into published repositories, next to a `requirements.txt`.

A request is `{"inputs": {"history": [...], "query": "..."}, "parameters": {"top_k": 10}}`; `inputs` may be a list. The
answer is that of `pipeline("recommendation")`.
"""

from __future__ import annotations

from typing import Any

from transformers import pipeline

from hf_llmrec.pipelines.recommendation import RecommendationPipeline


class EndpointHandler:
    """The class that Inference Endpoints load and call.

    Args:
        path: folder of the repository.
    """

    def __init__(self, path: str = ""):
        self.pipeline = pipeline(
            "recommendation",  # pyright: ignore[reportArgumentType, reportCallIssue]  # the stub: built-in tasks only
            model=path,
            pipeline_class=RecommendationPipeline,
        )

    def __call__(self, data: dict[str, Any]) -> Any:
        """Answer a request.

        Args:
            data: ``inputs``, one request of the pipeline or a list of them, and optionally ``parameters``, options of
                the call.

        Raises:
            ValueError: a request without inputs, or one that the pipeline rejects.
        """
        if not isinstance(data, dict) or "inputs" not in data:
            raise ValueError('a request is {"inputs": {"history": [item ids]}, "parameters": {"top_k": 10}}')
        return self.pipeline(data["inputs"], **(data.get("parameters") or {}))
