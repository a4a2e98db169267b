"""hf_llmrec: train, evaluate, publish and serve LLM recommenders as ordinary Hugging Face models."""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_EXPORTS = {
    "RecDataset": "data.interactions",
    "ItemIndex": "data.item_index",
    "InteractionGraph": "data.graph",
    "make_demo_shop": "data.demo",
    "build_index": "indexing.build",
    "embed_items": "indexing.text_embeddings",
    "GALRecConfig": "methods.galrec.configuration_galrec",
    "GALRecModel": "methods.galrec.modeling_galrec",
    "GALRecForCausalLM": "methods.galrec.modeling_galrec",
    "GALRecOutput": "methods.galrec.modeling_galrec",
    "RQVAEConfig": "indexing.rqvae.configuration_rqvae",
    "RQVAEModel": "indexing.rqvae.modeling_rqvae",
    "SASRecConfig": "methods.sasrec.configuration_sasrec",
    "SASRecModel": "methods.sasrec.modeling_sasrec",
    "LightGCNConfig": "methods.lightgcn.configuration_lightgcn",
    "LightGCNModel": "methods.lightgcn.modeling_lightgcn",
    "ItemKNNConfig": "methods.item_knn.configuration_item_knn",
    "ItemKNNModel": "methods.item_knn.modeling_item_knn",
    "PopularityConfig": "methods.popularity.configuration_popularity",
    "PopularityModel": "methods.popularity.modeling_popularity",
    "LCRecTokenizer": "methods.lcrec.tokenization_lcrec",
    "Items": "prompting.segments",
    "Text": "prompting.segments",
    "ItemTrie": "generation.item_trie",
    "recommend_items": "generation.beam_search",
    "Ranker": "evaluation.ranker",
    "evaluate_ranker": "evaluation.evaluator",
    "load_metric": "evaluation.rankings",
    "paired_bootstrap": "evaluation.compare",
    "LCRecRecommender": "methods.lcrec.recommender",
    "GALRecRecommender": "methods.galrec.recommender",
    "DenseRecommender": "methods.dense_recommender",
    "Recommender": "recommender",
    "SASRecRecommender": "methods.sasrec.recommender",
    "LightGCNRecommender": "methods.lightgcn.recommender",
    "ItemKNNRecommender": "methods.item_knn.recommender",
    "PopularityRecommender": "methods.popularity.recommender",
    "AutoRecommender": "methods.auto",
    "LCRecTrainer": "methods.lcrec.trainer",
    "LCRecTrainingConfig": "methods.lcrec.trainer_config",
    "GALRecTrainer": "methods.galrec.trainer",
    "GALRecTrainingConfig": "methods.galrec.trainer_config",
    "SASRecTrainer": "methods.sasrec.trainer",
    "SASRecTrainingConfig": "methods.sasrec.trainer_config",
    "LightGCNTrainer": "methods.lightgcn.trainer",
    "LightGCNTrainingConfig": "methods.lightgcn.trainer_config",
    "RecommendationPipeline": "pipelines.recommendation",
}
__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .data.interactions import RecDataset as RecDataset
    from .data.item_index import ItemIndex as ItemIndex


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__():
    return [*__all__, "__version__"]


def _is_command_line() -> bool:
    """Whether this is a process of the script ``hf-llmrec``, which registers when a command runs.

    Its help would otherwise wait for transformers and torch.
    """
    return os.path.splitext(os.path.basename(getattr(sys, "argv", [""])[0]))[0] == "hf-llmrec"


if not _is_command_line():
    from .registration import register

    register()
