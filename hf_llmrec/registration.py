"""The only file that touches transformers' registries. Imported once, by ``import hf_llmrec``."""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
from transformers.pipelines import PIPELINE_REGISTRY

from .models.rqvae.configuration_rqvae import RQVAEConfig
from .models.rqvae.modeling_rqvae import RQVAEModel
from .pipelines.recommendation import RecommendationPipeline

TASK = "recommendation"


def register() -> None:
    """Make the package's models and ``pipeline("recommendation", ...)`` known. Calling it again changes nothing."""
    AutoConfig.register(RQVAEConfig.model_type, RQVAEConfig, exist_ok=True)
    AutoModel.register(RQVAEConfig, RQVAEModel, exist_ok=True)
    if TASK not in PIPELINE_REGISTRY.get_supported_tasks():
        PIPELINE_REGISTRY.register_pipeline(
            TASK, pipeline_class=RecommendationPipeline, pt_model=(AutoModelForCausalLM, AutoModel)
        )
