"""Muon for the matrices of transformer layers, beside AdamW for all other parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

# Coefficients of the quintic Newton-Schulz iteration, and the number of its steps, as in `torch.optim.Muon`.
_COEFFICIENTS, _STEPS = (3.4445, -4.7750, 2.0315), 5
_EPSILON = 1e-7


def layer_matrices(model: nn.Module) -> list[str]:
    """List the trained matrices of a model's layers: 2-D weights of parts of the blocks in a `ModuleList`.

    Embeddings and output heads, also tied ones, are none of them, nor are linear layers that are themselves entries
    of the list, such as projections of inputs, and matrices of one row or column. The factors of LoRA adapters are
    matrices of the layers.

    Args:
        model: the model that is trained, perhaps with adapters.

    Returns:
        names of parameters, in the order of the model.

    Example:
        ```python
        from transformers import GPT2Config, GPT2LMHeadModel

        model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=10))
        assert [name.split(".")[-2] for name in layer_matrices(model)] == ["c_attn", "c_proj", "c_fc", "c_proj"]
        ```
    """
    embedded = {id(p) for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}
    inside: set[int] = set()
    for module in model.modules():
        for block in module if isinstance(module, nn.ModuleList) else ():
            own = {id(p) for p in block.parameters(recurse=False)}
            inside |= {id(p) for p in block.parameters()} - own
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
        and parameter.dim() == 2
        and min(parameter.shape) > 1
        and id(parameter) in inside - embedded
    ]


def orthogonalize(matrix: torch.Tensor) -> torch.Tensor:
    """Replace the singular values of a matrix by numbers near 1, with five Newton-Schulz iterations.

    Args:
        matrix: float (m, n); the result has its precision.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    result = matrix.T if is_tall else matrix
    result = result / result.norm().clamp(min=_EPSILON)
    first, second, third = _COEFFICIENTS
    for _ in range(_STEPS):
        gram = result @ result.T
        result = torch.addmm(result, torch.addmm(gram, gram, gram, beta=second, alpha=third), result, beta=first)
    return result.T if is_tall else result


def _float32_muon(groups: list[dict[str, Any]], **options: Any) -> Optimizer:
    """`torch.optim.Muon` in the precision of the gradients, which CPUs without bf16 compute many times faster."""

    class Float32Muon(torch.optim.Muon):
        @torch.no_grad()
        def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
            loss = None
            if closure is not None:
                with torch.enable_grad():
                    loss = closure()
            for group in self.param_groups:
                momentum, rate = group["momentum"], group["lr"]
                for parameter in group["params"]:
                    if parameter.grad is None:
                        continue
                    state = self.state[parameter]
                    if "momentum_buffer" not in state:
                        state["momentum_buffer"] = torch.zeros_like(parameter.grad)
                    buffer = state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
                    update = orthogonalize(parameter.grad.lerp(buffer, momentum))
                    parameter.mul_(1 - rate * group["weight_decay"])
                    parameter.add_(update, alpha=-0.2 * math.sqrt(max(parameter.shape)) * rate)
            return loss

    return Float32Muon(groups, **options)


class JointOptimizer(Optimizer):
    """Several optimizers of different parameters as one, for schedulers, clipping, loss scalers and checkpoints.

    Args:
        optimizers: each with parameters of its own. Their groups are listed in this order; ``defaults`` are those of
            the first.

    Example:
        ```python
        first, second = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
        optimizer = JointOptimizer([torch.optim.AdamW([first], lr=0.1), torch.optim.SGD([second], lr=0.5)])
        (first.sum() + second.sum()).backward()
        optimizer.step()
        assert second[0].item() == 0.5 and 0.89 < first[0].item() < 0.9
        ```
    """

    def __init__(self, optimizers: Sequence[Optimizer]):
        self.optimizers = list(optimizers)
        super().__init__([group for optimizer in self.optimizers for group in optimizer.param_groups], {})
        self.defaults = self.optimizers[0].defaults  # some schedulers read the learning rate from there
        self._share()

    def _share(self) -> None:
        """Let the optimizers work on this one's groups and state."""
        start = 0
        for optimizer in self.optimizers:
            end = start + len(optimizer.param_groups)
            optimizer.param_groups, optimizer.state = self.param_groups[start:end], self.state
            start = end

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss


def muon_and_adamw(
    model: nn.Module,
    decayed: Iterable[str],
    *,
    weight_decay: float,
    matrix_learning_rate: float,
    on_cpu: bool,
    adamw: dict[str, Any],
) -> JointOptimizer:
    """Create an optimizer that updates the matrices of the layers by Muon and all other parameters by AdamW.

    Muon's updates are scaled to the root mean square that AdamW's have (``match_rms_adamw``; arXiv 2502.16982, section
    2.2), so that learning rate and weight decay mean the same for both.

    Args:
        model: the model that is trained.
        decayed: names of the parameters with weight decay.
        weight_decay: their decoupled weight decay.
        matrix_learning_rate: peak learning rate of Muon.
        on_cpu: whether the model is trained on a CPU, where Muon computes in float32 instead of bf16.
        adamw: options of `torch.optim.AdamW`: ``lr``, ``betas``, ``eps`` and others.

    Raises:
        ValueError: the layers have no trained matrices.
    """
    chosen, decayed = set(layer_matrices(model)), set(decayed)
    check_matrices(model, chosen)

    def groups(of_matrices: bool) -> list[dict[str, Any]]:
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad and (n in chosen) == of_matrices]
        parts = [([p for n, p in named if (n in decayed) == is_decayed], is_decayed) for is_decayed in (True, False)]
        return [{"params": part, "weight_decay": weight_decay * is_decayed} for part, is_decayed in parts]

    options = {"lr": matrix_learning_rate, "adjust_lr_fn": "match_rms_adamw"}
    muon = _float32_muon if on_cpu else torch.optim.Muon
    # AdamW's groups come first: the logged learning rate is that of the first group.
    return JointOptimizer([torch.optim.AdamW(groups(False), **adamw), muon(groups(True), **options)])


def trainers_muon(trainer: Any, model: nn.Module) -> JointOptimizer:
    """Create the optimizer of a trainer whose ``matrix_optimizer`` is ``muon``, see `muon_and_adamw`.

    Args:
        trainer: a `transformers.Trainer`; its ``args`` have the options of [`MatrixOptimizerConfig`].
        model: the model that is trained.
    """
    args = trainer.args
    rate = args.learning_rate if args.matrix_learning_rate is None else args.matrix_learning_rate
    return muon_and_adamw(
        model,
        trainer.get_decay_parameter_names(model),
        weight_decay=args.weight_decay,
        matrix_learning_rate=rate,
        on_cpu=args.device.type == "cpu",
        adamw=trainer.get_optimizer_cls_and_kwargs(args)[1],
    )


def check_trainer(trainer: Any) -> None:
    """Refuse a trainer that cannot train with ``matrix_optimizer`` ``muon``.

    Args:
        trainer: a `transformers.Trainer`.

    Raises:
        ValueError: it was given an optimizer, or the layers of its model have no trained matrices.
    """
    if trainer.optimizer is not None or trainer.optimizer_cls_and_kwargs is not None:
        raise ValueError("matrix_optimizer muon: the trainer was given an optimizer of its own; leave one of them out")
    check_matrices(trainer.model)


def check_matrices(model: nn.Module, matrices: Iterable[str] | None = None) -> None:
    """Refuse a model whose layers have no trained matrices.

    Args:
        model: the model that is trained.
        matrices: those of `layer_matrices`; default: they are looked up.

    Raises:
        ValueError: there are none.
    """
    if not list(layer_matrices(model) if matrices is None else matrices):
        raise ValueError(
            f"matrix_optimizer muon: the layers of {type(model).__name__} have no trained matrices (2-D weights); "
            "leave it out"
        )
