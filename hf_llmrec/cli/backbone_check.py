"""A given backbone is refused before it is trained, not after."""

from __future__ import annotations

import torch
from transformers.integrations import is_deepspeed_zero3_enabled


def check_backbone(model, name: str, max_length: int) -> None:
    """Refuse what cannot be trained: a model that sees the future, or rows longer than its positions.

    Raises:
        ValueError: names the model, and the option to change.
    """
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if positions is not None and max_length > positions:
        raise ValueError(f"--max_length {max_length} is longer than the {positions} positions of {name}")
    if is_deepspeed_zero3_enabled():  # its weights are spread over the processes: no forward pass yet
        return
    first, second = torch.tensor([[1, 2, 3], [1, 2, 4]], device=model.device)
    model.eval()
    with torch.no_grad():
        states = [model.base_model(input_ids=ids.unsqueeze(0)).last_hidden_state[0, :2] for ids in (first, second)]
    if not torch.allclose(*states, atol=1e-3):
        raise ValueError(
            f"{name} is no causal language model: what a token reads depends on tokens after it, so it would see the "
            "answers it is trained to give (BERT-like models: set is_decoder in their config)"
        )
