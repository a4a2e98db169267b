"""A momentum copy of what is trained, and forward passes with it (MoCo, arXiv 1911.05722)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.func import functional_call

from ...evaluation.batches import evaluation_mode
from ...training.spread_weights import averages_in_place, held_part, is_spread


class MomentumEncoder:
    """Exponential moving averages of a model's trainable parameters, and the model as it would be with them.

    Only what is trained is copied: of a model under LoRA the adapters and new layers, of a fully tuned one everything.
    There is no second module: a forward pass borrows the model and puts the averages in the parameters' place, frozen
    weights and tables are shared. Where weights are spread over processes (ZeRO-3, FSDP2), each process keeps the
    averages of its own part: a moving average needs no others, and a forward pass gathers them as it gathers weights.

    Args:
        model: not wrapped by DistributedDataParallel or DeepSpeed.
        momentum: of the moving average, in [0, 1); 0 is the model itself.

    Attributes:
        averages: float32, by the parameters' names; this process's parts where weights are spread.
        is_spread: whether they are.

    Raises:
        ValueError: a momentum outside [0, 1).
    """

    def __init__(self, model: nn.Module, momentum: float = 0.999):
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
        self.model, self.momentum, self.is_spread = model, momentum, is_spread(model)
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        # In float32: in half precision a step of 0.1 % of a difference would be rounded away.
        self.averages = {name: held_part(p).float().clone() for name, p in trained.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages towards the parameters, once per optimizer step."""
        trained = dict(self.model.named_parameters())
        now = [held_part(trained[name]).to(torch.float32) for name in self.averages]
        torch._foreach_lerp_(list(self.averages.values()), now, 1 - self.momentum)

    @torch.no_grad()
    def __call__(self, **inputs):
        """The model's output with the averaged parameters, without dropout and without gradient.

        Where weights are spread: not between a forward and its backward pass, and by all processes.
        """
        with evaluation_mode(self.model):
            if self.is_spread:
                with self._in_place():
                    return self.model(**inputs)
            trained = dict(self.model.named_parameters())
            weights = {name: value.to(trained[name].dtype) for name, value in self.averages.items()}
            return functional_call(self.model, weights, (), inputs)

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        trained = dict(self.model.named_parameters())
        with averages_in_place(self.model, {name: (trained[name], value) for name, value in self.averages.items()}):
            yield

    @property
    def num_parameters(self) -> int:
        """How many numbers are kept (here, where weights are spread)."""
        return sum(value.numel() for value in self.averages.values())

    def state_dict(self) -> dict[str, torch.Tensor]:
        return dict(self.averages)

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from saved averages.

        Raises:
            ValueError: they are those of other parameters, or of another number of processes.
        """
        if set(state) != set(self.averages):
            differing = sorted(set(state) ^ set(self.averages))
            raise ValueError(f"the momentum weights are of another model: {differing[:5]} differ")
        for name, value in state.items():
            if value.shape != self.averages[name].shape:
                raise ValueError(
                    f"the momentum weights of {name} have the shape {tuple(value.shape)}, not "
                    f"{tuple(self.averages[name].shape)}: a run with spread weights resumes on as many processes"
                )
            self.averages[name].copy_(value)
