"""The first layers of a language model, as a smaller model of the same architecture."""

from __future__ import annotations

import copy
import logging

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

logger = logging.getLogger(__name__)
# Lists of a configuration that have no entry per layer, however long they are.
_NOT_PER_LAYER = ("_token_id", "_token_ids", "architectures", "keys_to_ignore_at_inference")


def keep_first_layers(model: PreTrainedModel, num_layers: int, name: str) -> None:
    """Remove all layers of a language model but the first ones, in place.

    The final norm and the head read the last layer that is kept. The configuration is changed accordingly, so that the
    saved model loads as a stock model with fewer layers.

    Args:
        model: a causal language model, with or without weights.
        num_layers: number of layers to keep, at least 1 and at most the model's.
        name: folder or Hub id, for messages.

    Raises:
        ValueError: ``num_layers`` is out of range, or the model cannot be shortened: it has no single list of layers,
            or a model built from the shortened configuration would have other parameters.

    Example:
        ```python
        model = AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-135M")
        keep_first_layers(model, 10, "SmolLM2")
        model.save_pretrained("smollm2-10-layers")
        ```
    """
    config = model.config.get_text_config()
    available = config.num_hidden_layers
    if num_layers < 1:
        raise ValueError(f"num_layers must be at least 1, got {num_layers}")
    if num_layers > available:
        raise ValueError(f"num_layers: {name} has {available} layers, {num_layers} were asked for")
    if num_layers == available:
        return
    lists = _lists_of(model, available)
    if len(lists) != 1:
        raise ValueError(f"num_layers: {name} ({type(model).__name__}) has no single list of {available} layers")
    del lists[0][num_layers:]
    _shorten(config, available, num_layers)
    _check_like_stock(model, name)
    logger.info("%s: the first %d of %d layers are kept", name, num_layers, available)


def _lists_of(model: PreTrainedModel, length: int) -> list[nn.ModuleList]:
    """Lists of modules that have this length and are in no other such list."""
    found: dict[str, nn.ModuleList] = {}
    for path, module in model.get_decoder().named_modules():
        is_inside = any(path.startswith(f"{outer}.") for outer in found)
        if isinstance(module, nn.ModuleList) and len(module) == length and not is_inside:
            found[path] = module
    return list(found.values())


def _shorten(config: PreTrainedConfig, before: int, after: int) -> None:
    """Set the number of layers, and cut the lists that have an entry per layer."""
    for field, value in vars(config).items():
        if isinstance(value, list | tuple) and len(value) == before and not field.endswith(_NOT_PER_LAYER):
            setattr(config, field, value[:after])
    config.num_hidden_layers = after
    config.validate()


def _check_like_stock(model: PreTrainedModel, name: str) -> None:
    """Refuse a model whose parameters differ from those of a new model with its configuration."""
    config = copy.deepcopy(model.config)
    # Quantized weights are packed, and under ZeRO-3 each process has a part: their shapes say nothing.
    config.__dict__.pop("quantization_config", None)
    with torch.device("meta"):
        stock = {key for key, _ in type(model)(config).named_parameters()}
    differing = sorted(stock ^ {key for key, _ in model.named_parameters()})
    if differing:
        raise ValueError(
            f"num_layers: {name} ({type(model).__name__}) cannot be shortened: a model of its shortened configuration "
            f"has other parameters ({', '.join(differing[:3])})"
        )
