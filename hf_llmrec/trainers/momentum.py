"""A momentum copy of what is trained, and forward passes with it (MoCo, arXiv 1911.05722)."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call

from ..evaluation.batches import evaluation_mode


class MomentumEncoder:
    """Exponential moving averages of a model's trainable parameters, and the model as it would be with them.

    Only what is trained is copied: of a model under LoRA the adapters and new layers, of a fully tuned one everything.
    There is no second module: a forward pass borrows the model and puts the averages in the parameters' place, frozen
    weights and tables are shared.

    Args:
        model: not wrapped by DistributedDataParallel or DeepSpeed.
        momentum: of the moving average, in [0, 1); 0 is the model itself.

    Attributes:
        averages: float32, by the parameters' names.

    Raises:
        ValueError: a momentum outside [0, 1), or parameters that are spread over processes (ZeRO-3).
    """

    def __init__(self, model: nn.Module, momentum: float = 0.999):
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
        self.model, self.momentum = model, momentum
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if any(hasattr(parameter, "ds_id") for parameter in trained.values()):
            raise ValueError(
                "the momentum encoder needs whole parameters, which ZeRO-3 spreads over processes: use ZeRO-2, or "
                "train without graph-aware losses"
            )
        # In float32: in half precision a step of 0.1 % of a difference would be rounded away.
        self.averages = {name: p.detach().float().clone() for name, p in trained.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages towards the parameters, once per optimizer step."""
        trained = dict(self.model.named_parameters())
        now = [trained[name].detach().to(torch.float32) for name in self.averages]
        torch._foreach_lerp_(list(self.averages.values()), now, 1 - self.momentum)

    @torch.no_grad()
    def __call__(self, **inputs):
        """The model's output with the averaged parameters, without dropout and without gradient."""
        trained = dict(self.model.named_parameters())
        weights = {name: value.to(trained[name].dtype) for name, value in self.averages.items()}
        with evaluation_mode(self.model):
            return functional_call(self.model, weights, (), inputs)

    @property
    def num_parameters(self) -> int:
        """How many numbers are kept."""
        return sum(value.numel() for value in self.averages.values())

    def state_dict(self) -> dict[str, torch.Tensor]:
        return dict(self.averages)

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from saved averages.

        Raises:
            ValueError: they are those of other parameters.
        """
        if set(state) != set(self.averages):
            differing = sorted(set(state) ^ set(self.averages))
            raise ValueError(f"the momentum weights are of another model: {differing[:5]} differ")
        for name, value in state.items():
            self.averages[name].copy_(value)
