"""`AutoRecommender`: loads a saved recommender of any method."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from ..data.recommender_folder import HUB_OPTIONS, load_settings

if TYPE_CHECKING:  # `import hf_llmrec` imports this file, but no recommender
    from ..recommender import Recommender

# ``module:class`` of the recommender of each method. They are imported on use: a process needs one of them or none.
RECOMMENDERS: dict[str, str] = {
    "lcrec": "hf_llmrec.methods.lcrec.recommender:LCRecRecommender",
    "galrec": "hf_llmrec.methods.galrec.recommender:GALRecRecommender",
    "sasrec": "hf_llmrec.methods.sasrec.recommender:SASRecRecommender",
    "lightgcn": "hf_llmrec.methods.lightgcn.recommender:LightGCNRecommender",
    "knn": "hf_llmrec.methods.item_knn.recommender:ItemKNNRecommender",
    "popularity": "hf_llmrec.methods.popularity.recommender:PopularityRecommender",
    "text_encoder": "hf_llmrec.methods.text_encoder.recommender:TextEncoderRecommender",
    "fusion": "hf_llmrec.methods.fusion.recommender:FusionRecommender",
}


class AutoRecommender:
    """Loads saved recommenders of any method. It has static methods only and is never instantiated."""

    @staticmethod
    def from_pretrained(path_or_hub_id: str | os.PathLike, **options: Any) -> Recommender:
        """Load the recommender of a folder or Hub repository, of any method.

        Args:
            path_or_hub_id: folder, or ``owner/name``.
            options: ``dtype``, ``device``, ``revision`` and the other options of [`Recommender.from_pretrained`].

        Raises:
            FileNotFoundError: not a recommender folder.
            ValueError: a method that is not registered.

        Example:
            ```python
            recommender = AutoRecommender.from_pretrained("me/lcrec-shop")
            recommender.recommend([{"history": ["B004756YJA"]}], top_k=10)
            ```
        """
        where = {name: value for name, value in options.items() if name in HUB_OPTIONS}
        method = load_settings(path_or_hub_id, **where)["method"]
        return recommender_class(method, path_or_hub_id).from_pretrained(path_or_hub_id, **options)

    @staticmethod
    def register(
        recommender: type[Recommender],
        config: type[PreTrainedConfig] | None = None,
        model: type[PreTrainedModel] | None = None,
    ) -> None:
        """Register the recommender of a method; it replaces one that is registered under the same ``method``.

        Args:
            recommender: the class, importable under its module and name.
            config: configuration class of its model, which is registered with `AutoConfig`; ``None``: transformers has
                it already.
            model: model class of that configuration, which is registered with `AutoModel`; ``None``: no class is.
        """
        if config is not None:
            AutoConfig.register(config.model_type, config, exist_ok=True)
            if model is not None:
                AutoModel.register(config, model, exist_ok=True)
        RECOMMENDERS[recommender.method] = f"{recommender.__module__}:{recommender.__qualname__}"


def recommender_class(method: str, source: str | os.PathLike) -> type[Recommender]:
    """Import the recommender class of a method.

    Args:
        method: the name of the method in ``recommender.json``.
        source: folder or Hub id with that method, for error messages.

    Raises:
        ValueError: a method that is not registered.
    """
    if method not in RECOMMENDERS:
        raise ValueError(f"{source}: unknown method {method!r}; this version knows {sorted(RECOMMENDERS)}")
    module, _, name = RECOMMENDERS[method].partition(":")
    return getattr(import_module(module), name)
