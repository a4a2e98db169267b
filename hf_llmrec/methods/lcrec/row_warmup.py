"""A first stage of training in which the rows of the index tokens are trained and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

import torch
from peft import PeftModel
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import PreTrainedModel, TrainerCallback

logger = logging.getLogger(__name__)
# Optimizers that do not move a number whose gradient has been zero and that has no weight decay.
_OPTIMIZERS = ("adamw", "adafactor", "adagrad", "ademamix", "lion", "rmsprop", "sgd")


class RowWarmup(TrainerCallback):
    """Freezes everything but the embedding and head rows of the index tokens for the first steps of a training.

    New rows start without meaning, and their first gradients would change a pretrained model before they have any. All
    gradients are still computed, so that DDP finds every parameter in use, and those of frozen numbers are removed
    before they are clipped. Rows have no weight decay in this stage. Afterwards the optimizer starts anew, so that rows
    of text tokens have no bias correction of steps in which they did not move.

    Args:
        model: the model as the trainer has it, perhaps with adapters.
        token_ids: int64 (n,), ids of the index tokens.
        steps: optimizer steps of the stage.
        optimizer: name of the optimizer, as ``optim`` of `transformers.TrainingArguments`.

    Attributes:
        trained: numbers that are trained in this stage.
        total: numbers that are trained afterwards.

    Raises:
        ValueError: the rows of the index tokens are not trained, or the optimizer moves numbers without gradient.
    """

    def __init__(self, model: nn.Module, token_ids: torch.Tensor, steps: int, optimizer: str):
        if not optimizer.removeprefix("paged_").startswith(_OPTIMIZERS):
            raise ValueError(
                f"warmup_rows_steps: optimizer {optimizer} may move rows that have no gradient; take one of the kinds "
                f"{', '.join(_OPTIMIZERS)} (--optim), or leave it out"
            )
        self.steps = steps
        self._token_ids = token_ids
        rows, matrices = _row_parameters(model)
        if not rows and not matrices:
            raise ValueError(
                "warmup_rows_steps: the rows of the index tokens are not trained beside these adapters: set "
                "--train_index_rows rows or all (with_index_rows), or leave it out"
            )
        self._matrices = matrices
        known = {id(parameter) for parameter in (*rows, *matrices)}
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._frozen = [parameter for parameter in parameters if id(parameter) not in known]
        self.trained = sum(p.numel() for p in rows) + sum(len(token_ids) * p.shape[1] for p in matrices)
        self.total = sum(p.numel() for p in parameters)
        self._decay: list[float] = []

    def is_active(self, step: int) -> bool:
        """Whether an optimizer step belongs to the stage.

        Args:
            step: number of optimizer steps before it.
        """
        return step < self.steps

    def remove_gradients(self) -> None:
        """Remove the gradients of everything that is frozen, once those of all processes have been averaged."""
        for parameter in self._frozen:
            parameter.grad = None
        for matrix in self._matrices:
            if matrix.grad is not None:
                ids = self._token_ids.to(matrix.device)
                kept = matrix.grad[ids]
                matrix.grad.zero_()
                matrix.grad[ids] = kept

    def schedule(self, create: Callable[[int], LRScheduler], steps: int, warmup_steps: int) -> LRScheduler:
        """Let the schedule of the learning rate begin after the stage, in which the rate is constant.

        Args:
            create: makes the scheduler of a training of so many steps.
            steps: optimizer steps in all.
            warmup_steps: steps of linear warm-up at the beginning of the stage; the rate is reached
                within the stage.

        Raises:
            ValueError: no steps are left after the stage.
        """
        if steps <= self.steps:
            raise ValueError(
                f"warmup_rows_steps {self.steps}: the training has {steps} steps, so that none is left to train the "
                "other parameters; lower it, or raise --num_train_epochs or --max_steps"
            )
        scheduler, warmup_steps = create(steps - self.steps), min(warmup_steps, self.steps - 1)
        if isinstance(scheduler, LambdaLR):  # the others follow a metric, not the step
            scheduler.lr_lambdas = [self._later(function, warmup_steps) for function in scheduler.lr_lambdas]
            first = [
                function(0) * rate for function, rate in zip(scheduler.lr_lambdas, scheduler.base_lrs, strict=True)
            ]
            for group, rate in zip(scheduler.optimizer.param_groups, first, strict=True):
                group["lr"] = rate
            scheduler._last_lr = first
        return scheduler

    def _later(self, function: Callable[[int], float], warmup_steps: int) -> Callable[[int], float]:
        def factor(step: int) -> float:
            if not self.is_active(step):
                return function(step - self.steps)
            return min(step / warmup_steps, 1.0) if warmup_steps else 1.0

        return factor

    def on_train_begin(self, args, state, control, **kwargs):
        if self.is_active(state.global_step):
            logger.info(
                "steps %d to %d train the rows of %d index tokens alone (%s parameters of %s), later steps everything",
                *(state.global_step + 1, self.steps, len(self._token_ids), f"{self.trained:,}", f"{self.total:,}"),
            )

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.steps:
            # Also after a resume from the last checkpoint of the stage, so that both runs are the same.
            kwargs["optimizer"].state.clear()
            logger.info("step %d: all %s parameters are trained from now on", self.steps + 1, f"{self.total:,}")

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        if self.is_active(state.global_step):
            groups = kwargs["optimizer"].param_groups
            self._decay = [group.get("weight_decay", 0.0) for group in groups]
            for group in groups:
                group["weight_decay"] = 0.0

    def on_optimizer_step(self, args, state, control, **kwargs):
        for group, decay in zip(kwargs["optimizer"].param_groups, self._decay, strict=False):
            group["weight_decay"] = decay
        self._decay = []


def _row_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trained parameters of the embeddings: those that are rows of index tokens alone, and full matrices."""
    base = cast(PreTrainedModel, model.get_base_model() if isinstance(model, PeftModel) else model)
    rows: dict[int, nn.Parameter] = {}
    matrices: dict[int, nn.Parameter] = {}
    for module in (base.get_input_embeddings(), base.get_output_embeddings()):
        for name, parameter in () if module is None else module.named_parameters():
            if not parameter.requires_grad:
                continue
            if "trainable_tokens_delta" in name:
                rows[id(parameter)] = parameter
            elif name == "weight" or name.startswith("modules_to_save."):
                matrices[id(parameter)] = parameter
    return list(rows.values()), list(matrices.values())
