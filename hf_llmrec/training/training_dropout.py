"""Dropout that stock decoders do not have, and small models trained from scratch need."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel


def add_training_dropout(model: PreTrainedModel, embedding: float, residual: float) -> list:
    """Add dropout on the input embeddings and on the residual branches of a stock decoder, by forward hooks.

    Most current architectures have no such dropout of their own; small models trained from scratch need it. The hooks
    act in training mode only and are not part of the saved model.

    Args:
        model: a stock decoder.
        embedding: dropout probability on the input embeddings; 0: none.
        residual: dropout probability on what attention and MLP add to the residual stream; 0: none.

    Returns:
        The hook handles, by which the hooks can be removed.

    Raises:
        ValueError: ``residual`` is set and the model has no layers with ``self_attn.o_proj`` and ``mlp.down_proj``.
    """

    def hook(probability: float):
        def drop(module, inputs, output):
            return nn.functional.dropout(output, probability) if module.training else output

        return drop

    handles = []
    if embedding > 0:
        handles.append(model.get_input_embeddings().register_forward_hook(hook(embedding)))
    if residual > 0:
        branches = [m for name, m in model.named_modules() if name.endswith(("self_attn.o_proj", "mlp.down_proj"))]
        if not branches:
            raise ValueError(f"residual_dropout is not available for {type(model).__name__}; set it to 0")
        handles += [branch.register_forward_hook(hook(residual)) for branch in branches]
    return handles
