"""Base class of the GAL-Rec models, and their output."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel, initialization
from transformers.modeling_outputs import CausalLMOutputWithPast

from .configuration_galrec import GALRecConfig
from .entity_embeddings import EntityEmbeddings
from .entity_layers import EntityScale, ItemResidual, ItemScorer, MappingLayers, RecGate


@dataclass
class GALRecOutput(CausalLMOutputWithPast):
    """Output of [`GALRecForCausalLM`].

    The other parameters are those of transformers' [`CausalLMOutputWithPast`]. Of these, ``loss`` is L_rec, float (),
    or ``None`` without labels; ``logits`` are those of the next text token, float (batch, positions, vocab_size), or
    ``None`` with labels, text labels or ``representations``.

    Args:
        rec_losses: float (n,), the cross-entropy at every labelled position.
        at_rec: bool (n,), which of these positions are those of `[REC]`.
        text_loss: float (), mean cross-entropy of the vocabulary; ``None`` without text labels.
        representations: float (batch, len(SPECIAL_TOKENS), projection_size), projected read-outs, zero where a sequence
            does not have one. ``None`` unless requested.
        last_hidden_state: float (batch, length, hidden_size).
    """

    rec_losses: torch.Tensor | None = None
    at_rec: torch.Tensor | None = None
    text_loss: torch.Tensor | None = None
    representations: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None


class GALRecPreTrainedModel(PreTrainedModel):
    """Base class of the GAL-Rec models: their configuration and how weights are initialised."""

    config: GALRecConfig
    config_class = GALRecConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module):
        std = getattr(self.config.get_text_config(), "initializer_range", 0.02)
        if isinstance(module, MappingLayers):
            for weight in module.skip.parameters():
                initialization.orthogonal_(weight)
        elif isinstance(module, EntityScale):
            initialization.constant_(module.factor, float(self.config.entity_scale))
        elif isinstance(module, RecGate):
            initialization.constant_(module.gate, RecGate.START)
        elif isinstance(module, ItemResidual):
            initialization.zeros_(module.weight)
        elif isinstance(module, ItemScorer):
            if module.repeat_bias is not None:
                initialization.zeros_(module.repeat_bias)
        elif isinstance(module, (nn.Linear, nn.Embedding)):
            initialization.normal_(module.weight, std=std)
            bias = getattr(module, "bias", None)
            if bias is not None:
                initialization.zeros_(bias)
        if isinstance(module, EntityEmbeddings):
            for buffer in (module.item_external, module.user_external, module.graph_items, module.graph_offsets):
                initialization.zeros_(buffer)


def require_ids(input_ids: torch.Tensor | None) -> torch.Tensor:
    """Refuse a call that has embeddings only, where read-outs and items must be located by their ids.

    Args:
        input_ids: as passed to the model.

    Returns:
        The same ids.

    Raises:
        ValueError: there are none.
    """
    if input_ids is None:
        raise ValueError("labels and output_representations need input_ids")
    return input_ids
