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
    "GALRecConfig": "models.galrec.configuration_galrec",
    "GALRecModel": "models.galrec.modeling_galrec",
    "GALRecForCausalLM": "models.galrec.modeling_galrec",
    "GALRecOutput": "models.galrec.modeling_galrec",
    "RQVAEConfig": "models.rqvae.configuration_rqvae",
    "RQVAEModel": "models.rqvae.modeling_rqvae",
    "SASRecConfig": "models.sasrec.configuration_sasrec",
    "SASRecModel": "models.sasrec.modeling_sasrec",
    "LightGCNConfig": "models.lightgcn.configuration_lightgcn",
    "LightGCNModel": "models.lightgcn.modeling_lightgcn",
    "ItemKNNConfig": "models.item_knn.configuration_item_knn",
    "ItemKNNModel": "models.item_knn.modeling_item_knn",
    "PopularityConfig": "models.popularity.configuration_popularity",
    "PopularityModel": "models.popularity.modeling_popularity",
    "LCRecTokenizer": "models.lcrec.tokenization_lcrec",
    "Items": "models.lcrec.segments",
    "Text": "models.lcrec.segments",
    "ItemTrie": "generation.item_trie",
    "recommend_items": "generation.beam_search",
    "Ranker": "evaluation.ranker",
    "evaluate_ranker": "evaluation.evaluator",
    "load_metric": "evaluation.rankings",
    "paired_bootstrap": "evaluation.compare",
    "LCRecRanker": "rankers.lcrec",
    "GALRecRanker": "rankers.galrec",
    "DenseRanker": "rankers.dense",
    "PopularityRanker": "rankers.classical",
    "load_ranker": "rankers.auto",
    "LCRecTrainer": "trainers.lcrec_trainer",
    "LCRecTrainingConfig": "trainers.lcrec_config",
    "GALRecTrainer": "trainers.galrec_trainer",
    "GALRecTrainingConfig": "trainers.galrec_config",
    "SASRecTrainer": "trainers.sasrec_trainer",
    "SASRecTrainingConfig": "trainers.sasrec_config",
    "LightGCNTrainer": "trainers.lightgcn_trainer",
    "LightGCNTrainingConfig": "trainers.lightgcn_config",
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
