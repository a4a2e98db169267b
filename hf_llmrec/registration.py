"""The only file that touches transformers' registries. Imported once, by ``import hf_llmrec``."""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig
from transformers.pipelines import PIPELINE_REGISTRY

from .indexing.rqvae.configuration_rqvae import RQVAEConfig
from .indexing.rqvae.modeling_rqvae import RQVAEModel
from .methods.fusion.configuration_fusion import FusionConfig
from .methods.fusion.modeling_fusion import FusionModel
from .methods.galrec.configuration_galrec import GALRecConfig
from .methods.galrec.modeling_galrec import GALRecForCausalLM, GALRecModel
from .methods.item_knn.configuration_item_knn import ItemKNNConfig
from .methods.item_knn.modeling_item_knn import ItemKNNModel
from .methods.lcrec.tokenization_lcrec import LCRecTokenizer
from .methods.lightgcn.configuration_lightgcn import LightGCNConfig
from .methods.lightgcn.modeling_lightgcn import LightGCNModel
from .methods.popularity.configuration_popularity import PopularityConfig
from .methods.popularity.modeling_popularity import PopularityModel
from .methods.sasrec.configuration_sasrec import SASRecConfig
from .methods.sasrec.modeling_sasrec import SASRecModel
from .methods.text_encoder.configuration_text_encoder import TextEncoderConfig
from .methods.text_encoder.modeling_text_encoder import TextEncoderModel
from .pipelines.model_source import RecommenderModel
from .pipelines.recommendation import RecommendationPipeline

TASK = "recommendation"
MODELS = {
    RQVAEConfig: RQVAEModel,
    SASRecConfig: SASRecModel,
    LightGCNConfig: LightGCNModel,
    ItemKNNConfig: ItemKNNModel,
    PopularityConfig: PopularityModel,
    GALRecConfig: GALRecModel,
    FusionConfig: FusionModel,
    TextEncoderConfig: TextEncoderModel,
}


class LCRecTokenizerKey(PreTrainedConfig):
    """No model's configuration: `AutoTokenizer.register` files a class under one, and LC-Rec's models are stock."""

    model_type = "lcrec_tokenizer"


def register() -> None:
    """Make the package's models and ``pipeline("recommendation", ...)`` known. Calling it again changes nothing."""
    for config, model in MODELS.items():
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModel.register(config, model, exist_ok=True)
    AutoModelForCausalLM.register(GALRecConfig, GALRecForCausalLM, exist_ok=True)
    # A folder that names LCRecTokenizer in its tokenizer_config.json is then read as one by AutoTokenizer.
    AutoTokenizer.register(LCRecTokenizerKey, tokenizer_class=LCRecTokenizer, exist_ok=True)
    if TASK not in PIPELINE_REGISTRY.get_supported_tasks():
        PIPELINE_REGISTRY.register_pipeline(TASK, pipeline_class=RecommendationPipeline, pt_model=(RecommenderModel,))
