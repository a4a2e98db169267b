"""Ends a training that has diverged, before anything that is not finite is logged, evaluated or saved."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from transformers import TrainerCallback

from .sharded_weights import local_shard

# Under fp16 the loss scaler skips steps that overflow and halves its scale, which begins at 2**16.
_FP16_OVERFLOWS = 25


class DivergenceGuard(TrainerCallback):
    """Stops a training when its loss or one of its trained weights is no longer finite.

    Losses are recorded as they come, without waiting for the device. Before each log, evaluation and save, and at the
    end, the record is read and shared among all processes. Weights are checked before each evaluation and save. Under
    fp16 a single step that overflows is no divergence: the loss scaler skips it.

    Args:
        gather: concatenates the tensors of all processes, such as `accelerate.Accelerator.gather`.
    """

    def __init__(self, gather: Callable[[torch.Tensor], torch.Tensor]):
        self._gather = gather
        self._last_checkpoint: str | None = None
        self._reset()

    def _reset(self) -> None:
        self._consecutive: torch.Tensor | None = None  # number of losses in a row that were not finite
        self._step: torch.Tensor | None = None  # the step at which the training diverged; -1: it has not
        self._loss: torch.Tensor | None = None  # the loss of that step

    def observe(self, loss: torch.Tensor, step: int, fp16: bool = False) -> None:
        """Record the loss of a batch.

        Args:
            loss: float ().
            step: the optimizer step that the batch belongs to, from 1.
            fp16: whether a loss scaler skips steps that overflow.
        """
        loss = loss.detach().float()
        if self._consecutive is None or self._step is None or self._loss is None:
            self._consecutive = torch.zeros_like(loss)
            self._step, self._loss = torch.full_like(loss, -1), torch.zeros_like(loss)
        self._consecutive = torch.where(loss.isfinite(), 0.0, self._consecutive + 1)
        is_first = (self._consecutive >= (_FP16_OVERFLOWS if fp16 else 1)) & (self._step < 0)
        self._step = torch.where(is_first, float(step), self._step)
        self._loss = torch.where(is_first, loss, self._loss)

    def on_train_begin(self, args, state, control, **kwargs):
        self._reset()
        self._last_checkpoint = None

    def on_step_end(self, args, state, control, model=None, **kwargs):
        uses_weights = control.should_evaluate or control.should_save or control.should_training_stop
        is_free = args.world_size == 1 and args.device.type == "cpu"  # no other process or device to wait for
        if uses_weights or control.should_log or is_free:
            self._check(args, state, model if uses_weights else None)

    def on_epoch_end(self, args, state, control, model=None, **kwargs):
        if control.should_evaluate or control.should_save or control.should_log:
            self._check(args, state, model)

    def on_save(self, args, state, control, **kwargs):
        self._last_checkpoint = f"checkpoint-{state.global_step}"

    def _check(self, args, state, model: nn.Module | None) -> None:
        if self._step is None or self._loss is None:
            return
        broken = torch.zeros_like(self._loss)
        if model is not None:
            broken = (~finite_weights(model)).to(broken)
        # One row per process: step and loss of a divergence, and whether its weights are broken.
        reports = self._gather(torch.stack([self._step, self._loss, broken]).unsqueeze(0)).cpu()
        diverged = reports[reports[:, 0] >= 0]
        if len(diverged):
            step, loss = diverged[diverged[:, 0].argmin(), :2].tolist()
            what = f"the loss of step {step:.0f} is {loss}"
        elif reports[:, 2].any():
            what = f"after step {state.global_step} some weights are not finite"
        else:
            return
        before = f"the last good checkpoint is {self._last_checkpoint}" if self._last_checkpoint else "none was before"
        raise ValueError(
            f"the training diverged: {what}. Nothing was saved since, {before} in {args.output_dir}. Train anew with a "
            f"lower --learning_rate (now {args.learning_rate:g}), more --warmup_steps or a lower --max_grad_norm (now "
            f"{args.max_grad_norm:g})" + (", or in bf16 or float32 instead of fp16" if args.fp16 else "")
        )


@torch.no_grad()
def finite_weights(model: nn.Module) -> torch.Tensor:
    """Whether all trained weights that this process holds are finite: bool (), on the model's device.

    Args:
        model: perhaps with sharded weights, of which this process's shard is checked.
    """
    parts = [local_shard(parameter) for parameter in model.parameters() if parameter.requires_grad]
    return torch.stack([part.isfinite().all() for part in parts]).all()
