"""The model class of the pipeline: loads a model by the auto classes and remembers its revision and token."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from ..data.recommender_folder import HUB_OPTIONS


class RecommenderModel:
    """The class that ``pipeline`` loads a recommender's model with.

    ``pipeline(..., revision=..., token=...)`` passes these options to the model class only, but the tokenizer and the
    catalogue must be read from the same place.
    """

    @classmethod
    def from_pretrained(cls, name: str, **options: Any) -> PreTrainedModel:
        """Load a model, with its language-model head if it has one.

        Args:
            name: folder or Hub id.
            options: options of transformers' ``from_pretrained``.

        Returns:
            The model. Its attribute ``hub_options`` has the options that determine where files are read
            (`HUB_OPTIONS`).
        """
        config_options = {key: options[key] for key in (*HUB_OPTIONS, "trust_remote_code") if key in options}
        config = AutoConfig.from_pretrained(name, **config_options)
        remote = getattr(config, "auto_map", None) or {}
        has_head = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING or "AutoModelForCausalLM" in remote
        auto = AutoModelForCausalLM if has_head else AutoModel
        model = auto.from_pretrained(name, **options)
        hub_options = {key: options[key] for key in HUB_OPTIONS if options.get(key) is not None}
        model.hub_options = hub_options  # pyright: ignore[reportArgumentType]  # nn.Module's stub: tensors and modules only
        return model
