"""Moving averages of the trained parameters, and forward passes with them (MoCo, arXiv 1911.05722)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.func import functional_call

from ...evaluation.batches import evaluation_mode
from ...training.sharded_weights import averages_in_place, has_sharded_weights, local_shard


class MomentumEncoder:
    """Exponential moving averages of a model's trainable parameters, and forward passes of the model with them.

    Only trainable parameters are copied: the adapters and new layers of a model with LoRA, everything of a fully tuned
    one. There is no second module: a forward pass uses the model with the averages in place of the parameters, and
    frozen weights and tables are shared. If weights are sharded over processes (ZeRO-3, FSDP2), each process keeps the
    averages of its own shards: a moving average needs no others, and a forward pass gathers them as it gathers weights.

    Args:
        model: not wrapped by DistributedDataParallel or DeepSpeed.
        momentum: of the moving average, in [0, 1); 0 is the model itself.

    Attributes:
        model: as passed.
        momentum: as passed.
        averages: float32 tensors by the parameters' names; this process's shards if weights are sharded.
        is_sharded: whether weights are sharded over processes.

    Raises:
        ValueError: a momentum outside [0, 1).
    """

    def __init__(self, model: nn.Module, momentum: float = 0.999):
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
        self.model, self.momentum, self.is_sharded = model, momentum, has_sharded_weights(model)
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        # In float32: in half precision a step of 0.1 % of the difference would be lost to rounding.
        self.averages = {name: local_shard(p).float().clone() for name, p in trained.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages towards the parameters, once per optimizer step."""
        trained = dict(self.model.named_parameters())
        now = [local_shard(trained[name]).to(torch.float32) for name in self.averages]
        # There is no public name for it.
        torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
            list(self.averages.values()), now, 1 - self.momentum
        )

    @torch.no_grad()
    def __call__(self, **inputs):
        """The model's output with the averaged parameters, without dropout and without gradient.

        If weights are sharded, all processes must call it, and not between a forward and its backward pass.

        Args:
            inputs: of the model.
        """
        with evaluation_mode(self.model):
            if self.is_sharded:
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
        """Number of averaged values; if weights are sharded, of this process."""
        return sum(value.numel() for value in self.averages.values())

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The averages by the parameters' names; the tensors are shared, not copied."""
        return dict(self.averages)

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore saved averages.

        Args:
            state: from `state_dict`.

        Raises:
            ValueError: averages of other parameters, or of another number of processes.
        """
        if set(state) != set(self.averages):
            differing = sorted(set(state) ^ set(self.averages))
            raise ValueError(f"the momentum weights are of another model: {differing[:5]} differ")
        for name, value in state.items():
            if value.shape != self.averages[name].shape:
                raise ValueError(
                    f"the momentum weights of {name} have the shape {tuple(value.shape)}, not "
                    f"{tuple(self.averages[name].shape)}: a run with sharded weights resumes on as many processes"
                )
            self.averages[name].copy_(value)
