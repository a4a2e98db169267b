"""The only file that touches transformers' registries. Imported once, by ``import hf_llmrec``."""

from __future__ import annotations

from transformers import AutoModel, AutoModelForCausalLM
from transformers.pipelines import PIPELINE_REGISTRY

from .pipelines.recommendation import RecommendationPipeline

TASK = "recommendation"


def register() -> None:
    """Make ``pipeline("recommendation", ...)`` known. Calling it again changes nothing."""
    if TASK not in PIPELINE_REGISTRY.get_supported_tasks():
        PIPELINE_REGISTRY.register_pipeline(
            TASK, pipeline_class=RecommendationPipeline, pt_model=(AutoModelForCausalLM, AutoModel)
        )
