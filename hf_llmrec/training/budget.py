"""Learning rate, epochs and batch size that nobody chose: from the size of the model and of the data."""

from __future__ import annotations

import logging
import math

import numpy as np
from transformers import TrainingArguments

from .language_model_config import LanguageModelTrainingConfig
from .row_config import RowTrainingConfig

logger = logging.getLogger(__name__)

# (parameters, peak learning rate) of full training; in between, both in logarithms, on a straight line.
# Tuning: rates reported for recommenders made of pretrained language models, 3e-4 at 0.1 to 0.6 billion parameters and
# 2e-5 at 1.7 billion and more. From scratch: 2e-3 for small models, such as those of the demo; larger ones take what
# GPT-3 took (arXiv 2005.14165, table 2.1).
TUNING_RATES = ((0.6e9, 3e-4), (1.7e9, 2e-5))
SCRATCH_RATES = ((1e7, 2e-3), (1.25e8, 6e-4), (1.3e9, 2e-4))
# Adapters take more than the weights of large models.
ADAPTER_RATE = 2e-4
TUNING_EPOCHS = 5.0


def learning_rate(num_parameters: int, *, pretrained: bool, adapters: bool = False) -> float:
    """Peak learning rate for a model of this size, to two digits.

    Args:
        num_parameters: of the whole model.
        pretrained: whether trained weights are tuned. adapters: whether LoRA-like adapters are trained instead of them.
    """
    sizes, rates = np.log(TUNING_RATES if pretrained else SCRATCH_RATES).T
    rate = math.exp(np.interp(math.log(max(num_parameters, 1)), sizes, rates))
    return float(f"{max(rate, ADAPTER_RATE) if adapters else rate:.1e}")


def fill_budget(
    args: LanguageModelTrainingConfig,
    lengths: np.ndarray,
    num_parameters: int,
    adapters: bool,
    *,
    target_per_item: bool,
) -> None:
    """Set the options of ``args`` that nobody chose, in place, and log them.

    What is right depends on whether trained weights are tuned (``args.pretrained``) and on the model's size, by which
    the learning rate falls, see `learning_rate`: from 3e-4 at 0.6 billion parameters to 2e-5 at 1.7 billion for weights
    that are tuned, at least 2e-4 for adapters, and from 2e-3 at 10 million to 2e-4 at 1.3 billion from scratch.
    Pretrained models are tuned for 5 epochs; models from scratch need 30, or as many as make 1,500 optimizer steps, in
    batches that give about 120 steps an epoch.

    Where each item of a row is a target, batches are sized by tokens: rows of similar length share a batch, and in
    batches of as many rows each, a target of a long history would count for less than one of a short history. They are
    not if ``per_device_train_batch_size`` was given.

    Args:
        lengths: int (rows,), tokens of an epoch's rows.
        num_parameters: of the model. adapters: whether LoRA-like adapters are trained.
        target_per_item: whether long rows have more targets than short ones.
    """
    tokens = int(lengths.sum())
    chosen: dict[str, float] = {}
    if args.learning_rate is None:
        chosen["learning_rate"] = learning_rate(num_parameters, pretrained=args.pretrained, adapters=adapters)
    if args.tokens_per_batch is None and not args._rows_chosen:
        if not args.pretrained:
            chosen["tokens_per_batch"] = int(min(max(tokens // (120 * args.world_size), 512), 8192))
        elif target_per_item:
            chosen["tokens_per_batch"] = max(args.per_device_train_batch_size * tokens // len(lengths), 1)
    if args.num_train_epochs is None:
        per_batch = chosen.get("tokens_per_batch", args.tokens_per_batch)
        batches = tokens / per_batch if per_batch else len(lengths) / args.per_device_train_batch_size
        steps = max(batches / (args.world_size * args.gradient_accumulation_steps), 1.0)
        from_scratch = float(min(max(30, math.ceil(1500 / steps)), 400))
        chosen["num_train_epochs"] = TUNING_EPOCHS if args.pretrained else from_scratch
    start = "tuning pretrained weights" if args.pretrained else "training from scratch"
    _choose(args, chosen, f"{start}, {num_parameters / 1e6:,.1f} million parameters")


def fill_row_budget(args: RowTrainingConfig, tokens: int) -> dict[str, float]:
    """Set batch size and epochs that nobody chose, in place, from the tokens of an epoch; returns what was set."""
    chosen: dict[str, float] = {}
    if args.tokens_per_batch is None:
        share = tokens // (args.steps_per_epoch * args.world_size * args.gradient_accumulation_steps)
        chosen["tokens_per_batch"] = int(min(max(share, 64), args.max_batch))
    per_step = chosen.get("tokens_per_batch", args.tokens_per_batch) * args.world_size
    if not args._epochs_chosen:
        steps = max(tokens / (per_step * args.gradient_accumulation_steps), 1.0)
        chosen["num_train_epochs"] = float(min(max(round(args.target_steps / steps), 20), 200))
    _choose(args, chosen, "from the data's size")
    return chosen


def _choose(args: TrainingArguments, chosen: dict[str, float], why: str) -> None:
    for name, value in chosen.items():
        setattr(args, name, value)
    if chosen:
        logger.info("%s: %s", why, ", ".join(f"{name} {value:g}" for name, value in chosen.items()))
