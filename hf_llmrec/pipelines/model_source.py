"""How the pipeline loads a model: by the auto classes, remembering from which revision and with which token."""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from ..data.recommender_folder import HUB_OPTIONS


class RecommenderModel:
    """Stands among the pipeline's model classes.

    ``pipeline(..., revision=..., token=...)`` hands these to the model class only, yet the tokenizer and the catalogue
    must come from the same place.
    """

    @classmethod
    def from_pretrained(cls, name: str, **options) -> PreTrainedModel:
        """The model, with language head where it has one; its ``hub_options`` say where it was read."""
        reading = {key: options[key] for key in (*HUB_OPTIONS, "trust_remote_code") if key in options}
        config = AutoConfig.from_pretrained(name, **reading)
        remote = getattr(config, "auto_map", None) or {}
        has_head = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING or "AutoModelForCausalLM" in remote
        auto = AutoModelForCausalLM if has_head else AutoModel
        model = auto.from_pretrained(name, **options)
        model.hub_options = {key: options[key] for key in HUB_OPTIONS if options.get(key) is not None}
        return model
