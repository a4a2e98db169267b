"""LoRA for GAL-Rec: adapters in the language model, full training of the layers that GAL-Rec adds."""

from __future__ import annotations

from peft import LoraConfig
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

# Layers that GAL-Rec adds to the language model; they get no adapters.
OWN_LAYERS = (
    *("item_mapping", "user_mapping", "item_residual", "special_embeddings", "entity_scale"),
    *("rec_gate", "item_scorer"),
)


def with_own_layers(config: LoraConfig, model: PreTrainedModel) -> LoraConfig:
    """Complete the options of adapters for a GAL-Rec, in place.

    Args:
        config: if it names no ``target_modules``, all linear layers of the language model get adapters. The layers that
            GAL-Rec adds are appended to its ``modules_to_save``.
        model: a `GALRecForCausalLM`, such as ``recommender.model``.

    Returns:
        ``config``, for ``GALRecTrainer(..., peft_config=...)``.
    """
    if config.target_modules is None:
        layers = model.model.language_model.named_modules()
        names = sorted({name.rpartition(".")[2] for name, module in layers if isinstance(module, (nn.Linear, Conv1D))})
        config.target_modules = rf".*\.language_model\..*\.({'|'.join(names)})"
    modules = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    own = [name for name in OWN_LAYERS if name in modules]
    config.modules_to_save = [*(config.modules_to_save or []), *own, "projection"]
    return config
