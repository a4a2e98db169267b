"""hf_llmrec: train, evaluate, publish and serve LLM recommenders as ordinary Hugging Face models."""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Public names, and where they are defined: imported when they are used.
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
    "FusionConfig": "methods.fusion.configuration_fusion",
    "FusionModel": "methods.fusion.modeling_fusion",
    "TextEncoderConfig": "methods.text_encoder.configuration_text_encoder",
    "TextEncoderModel": "methods.text_encoder.modeling_text_encoder",
    "LCRecTokenizer": "methods.lcrec.tokenization_lcrec",
    "Items": "prompting.segments",
    "Text": "prompting.segments",
    "ItemTrie": "generation.item_trie",
    "recommend_items": "generation.beam_search",
    "Ranker": "evaluation.ranker",
    "evaluate_ranker": "evaluation.evaluator",
    "fit_time_features": "evaluation.time_fit",
    "TimeFeatures": "data.time_features",
    "add_timestamps": "data.adding_times",
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
    "TextEncoderRecommender": "methods.text_encoder.recommender",
    "FusionRecommender": "methods.fusion.recommender",
    "AutoRecommender": "methods.auto",
    "LCRecTrainer": "methods.lcrec.trainer",
    "LCRecTrainingConfig": "methods.lcrec.trainer_config",
    "GALRecTrainer": "methods.galrec.trainer",
    "GALRecTrainingConfig": "methods.galrec.trainer_config",
    "SASRecTrainer": "methods.sasrec.trainer",
    "SASRecTrainingConfig": "methods.sasrec.trainer_config",
    "LightGCNTrainer": "methods.lightgcn.trainer",
    "LightGCNTrainingConfig": "methods.lightgcn.trainer_config",
    "TextEncoderTrainer": "methods.text_encoder.trainer",
    "TextEncoderTrainingConfig": "methods.text_encoder.trainer_config",
    "RecommendationPipeline": "pipelines.recommendation",
    "recommend_table": "serving.recommend_table",
    "EpochDataset": "data.epoch_dataset",
    "RecSplit": "data.splits",
    "EvalCases": "data.splits",
    "EvaluationResult": "evaluation.evaluator",
    "RowTrainerMixin": "training.row_trainer",
    "save_gguf_as_folder": "training.gguf_folder",
    "HyperparameterSearch": "tuning.search",
    "SearchSpace": "tuning.space",
    "LCRecPrompt": "methods.lcrec.prompt",
    "GALRecPrompt": "methods.galrec.prompt",
    "ItemCatalog": "data.recommender_folder",
    "export_catalog": "methods.lcrec.catalog_export",
}
__all__ = sorted(_EXPORTS)  # pyright: ignore[reportUnsupportedDunderAll]  # the imports below name the same

if TYPE_CHECKING:  # what type checkers and editors see
    from .data.adding_times import add_timestamps as add_timestamps
    from .data.demo import make_demo_shop as make_demo_shop
    from .data.epoch_dataset import EpochDataset as EpochDataset
    from .data.graph import InteractionGraph as InteractionGraph
    from .data.interactions import RecDataset as RecDataset
    from .data.item_index import ItemIndex as ItemIndex
    from .data.recommender_folder import ItemCatalog as ItemCatalog
    from .data.splits import EvalCases as EvalCases
    from .data.splits import RecSplit as RecSplit
    from .data.time_features import TimeFeatures as TimeFeatures
    from .evaluation.compare import paired_bootstrap as paired_bootstrap
    from .evaluation.evaluator import EvaluationResult as EvaluationResult
    from .evaluation.evaluator import evaluate_ranker as evaluate_ranker
    from .evaluation.ranker import Ranker as Ranker
    from .evaluation.rankings import load_metric as load_metric
    from .evaluation.time_fit import fit_time_features as fit_time_features
    from .generation.beam_search import recommend_items as recommend_items
    from .generation.item_trie import ItemTrie as ItemTrie
    from .indexing.build import build_index as build_index
    from .indexing.rqvae.configuration_rqvae import RQVAEConfig as RQVAEConfig
    from .indexing.rqvae.modeling_rqvae import RQVAEModel as RQVAEModel
    from .indexing.text_embeddings import embed_items as embed_items
    from .methods.auto import AutoRecommender as AutoRecommender
    from .methods.dense_recommender import DenseRecommender as DenseRecommender
    from .methods.fusion.configuration_fusion import FusionConfig as FusionConfig
    from .methods.fusion.modeling_fusion import FusionModel as FusionModel
    from .methods.fusion.recommender import FusionRecommender as FusionRecommender
    from .methods.galrec.configuration_galrec import GALRecConfig as GALRecConfig
    from .methods.galrec.modeling_galrec import GALRecForCausalLM as GALRecForCausalLM
    from .methods.galrec.modeling_galrec import GALRecModel as GALRecModel
    from .methods.galrec.modeling_galrec import GALRecOutput as GALRecOutput
    from .methods.galrec.prompt import GALRecPrompt as GALRecPrompt
    from .methods.galrec.recommender import GALRecRecommender as GALRecRecommender
    from .methods.galrec.trainer import GALRecTrainer as GALRecTrainer
    from .methods.galrec.trainer_config import GALRecTrainingConfig as GALRecTrainingConfig
    from .methods.item_knn.configuration_item_knn import ItemKNNConfig as ItemKNNConfig
    from .methods.item_knn.modeling_item_knn import ItemKNNModel as ItemKNNModel
    from .methods.item_knn.recommender import ItemKNNRecommender as ItemKNNRecommender
    from .methods.lcrec.catalog_export import export_catalog as export_catalog
    from .methods.lcrec.prompt import LCRecPrompt as LCRecPrompt
    from .methods.lcrec.recommender import LCRecRecommender as LCRecRecommender
    from .methods.lcrec.tokenization_lcrec import LCRecTokenizer as LCRecTokenizer
    from .methods.lcrec.trainer import LCRecTrainer as LCRecTrainer
    from .methods.lcrec.trainer_config import LCRecTrainingConfig as LCRecTrainingConfig
    from .methods.lightgcn.configuration_lightgcn import LightGCNConfig as LightGCNConfig
    from .methods.lightgcn.modeling_lightgcn import LightGCNModel as LightGCNModel
    from .methods.lightgcn.recommender import LightGCNRecommender as LightGCNRecommender
    from .methods.lightgcn.trainer import LightGCNTrainer as LightGCNTrainer
    from .methods.lightgcn.trainer_config import LightGCNTrainingConfig as LightGCNTrainingConfig
    from .methods.popularity.configuration_popularity import PopularityConfig as PopularityConfig
    from .methods.popularity.modeling_popularity import PopularityModel as PopularityModel
    from .methods.popularity.recommender import PopularityRecommender as PopularityRecommender
    from .methods.sasrec.configuration_sasrec import SASRecConfig as SASRecConfig
    from .methods.sasrec.modeling_sasrec import SASRecModel as SASRecModel
    from .methods.sasrec.recommender import SASRecRecommender as SASRecRecommender
    from .methods.sasrec.trainer import SASRecTrainer as SASRecTrainer
    from .methods.sasrec.trainer_config import SASRecTrainingConfig as SASRecTrainingConfig
    from .methods.text_encoder.configuration_text_encoder import TextEncoderConfig as TextEncoderConfig
    from .methods.text_encoder.modeling_text_encoder import TextEncoderModel as TextEncoderModel
    from .methods.text_encoder.recommender import TextEncoderRecommender as TextEncoderRecommender
    from .methods.text_encoder.trainer import TextEncoderTrainer as TextEncoderTrainer
    from .methods.text_encoder.trainer_config import TextEncoderTrainingConfig as TextEncoderTrainingConfig
    from .pipelines.recommendation import RecommendationPipeline as RecommendationPipeline
    from .prompting.segments import Items as Items
    from .prompting.segments import Text as Text
    from .recommender import Recommender as Recommender
    from .serving.recommend_table import recommend_table as recommend_table
    from .training.gguf_folder import save_gguf_as_folder as save_gguf_as_folder
    from .training.row_trainer import RowTrainerMixin as RowTrainerMixin
    from .tuning.search import HyperparameterSearch as HyperparameterSearch
    from .tuning.space import SearchSpace as SearchSpace


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
