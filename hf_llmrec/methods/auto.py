"""`AutoRecommender`: opens the recommender of whatever method a folder holds."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from ..data.recommender_folder import HUB_OPTIONS, load_settings

if TYPE_CHECKING:  # `import hf_llmrec` imports this file, and needs no recommender yet
    from ..recommender import Recommender

# Per method ``module:class`` of its recommender. Imported when one is needed: `import hf_llmrec` knows of all methods,
# and a process needs one or none.
RECOMMENDERS: dict[str, str] = {
    "lcrec": "hf_llmrec.methods.lcrec.recommender:LCRecRecommender",
    "galrec": "hf_llmrec.methods.galrec.recommender:GALRecRecommender",
    "sasrec": "hf_llmrec.methods.sasrec.recommender:SASRecRecommender",
    "lightgcn": "hf_llmrec.methods.lightgcn.recommender:LightGCNRecommender",
    "knn": "hf_llmrec.methods.item_knn.recommender:ItemKNNRecommender",
    "popularity": "hf_llmrec.methods.popularity.recommender:PopularityRecommender",
}


class AutoRecommender:
    """Opens saved recommenders. It is never made itself."""

    @staticmethod
    def from_pretrained(path_or_hub_id: str | os.PathLike, **options: Any) -> Recommender:
        """The recommender of a folder or Hub repository, of whatever method.

        Args:
            path_or_hub_id: folder, or ``owner/name``.
            options: see `Recommender.from_pretrained`.

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
        """Make a method known, by its ``method``; one of that name is replaced.

        Args:
            recommender: importable under its module and name.
            config: of its model, where transformers does not know it yet: `AutoConfig` then reads it.
            model: for that configuration; `AutoModel` then loads it.
        """
        if config is not None:
            AutoConfig.register(config.model_type, config, exist_ok=True)
            if model is not None:
                AutoModel.register(config, model, exist_ok=True)
        RECOMMENDERS[recommender.method] = f"{recommender.__module__}:{recommender.__qualname__}"


def recommender_class(method: str, source: str | os.PathLike) -> type[Recommender]:
    """The class of a method.

    Args:
        method: as folders name it.
        source: what asks for it, for errors.

    Raises:
        ValueError: a method that is not registered.
    """
    if method not in RECOMMENDERS:
        raise ValueError(f"{source}: unknown method {method!r}; this version knows {sorted(RECOMMENDERS)}")
    module, _, name = RECOMMENDERS[method].partition(":")
    return getattr(import_module(module), name)
