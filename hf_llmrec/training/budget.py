"""Defaults of learning rate, epochs and batch size, from the size of the model and of the data."""

from __future__ import annotations

import logging
import math

import numpy as np
from transformers import TrainingArguments

from .language_model_config import DEFAULT_BATCH_SIZE, LanguageModelTrainingConfig
from .row_config import RowTrainingConfig

logger = logging.getLogger(__name__)

# (parameters, peak learning rate) of full training, interpolated linearly in the logarithms of both.
# Tuning: rates reported for recommenders made of pretrained language models, 3e-4 at 0.1 to 0.6 billion parameters and
# 2e-5 at 1.7 billion and more. From scratch: 2e-3 for small models, such as those of the demo; for larger ones the
# rates of GPT-3 (arXiv 2005.14165, table 2.1).
TUNING_RATES = ((0.6e9, 3e-4), (1.7e9, 2e-5))
SCRATCH_RATES = ((1e7, 2e-3), (1.25e8, 6e-4), (1.3e9, 2e-4))
# Adapters are trained with larger rates than the weights of large models.
ADAPTER_RATE = 2e-4
TUNING_EPOCHS = 5.0


def learning_rate(num_parameters: int, *, pretrained: bool, adapters: bool = False) -> float:
    """Peak learning rate for a model of this size, rounded to two digits.

    Args:
        num_parameters: parameters of the model, frozen ones included.
        pretrained: whether trained weights are tuned; otherwise the model is trained from scratch.
        adapters: whether LoRA-like adapters are trained instead of the model's weights.
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
) -> dict[str, float]:
    """Set the options of ``args`` that were not given, in place, and log them.

    The values depend on whether trained weights are tuned (``args.pretrained``) and on the size of the model. The
    learning rate falls with the size, see `learning_rate`: from 3e-4 at 0.6 billion parameters to 2e-5 at 1.7 billion
    for weights that are tuned, at least 2e-4 for adapters, and from 2e-3 at 10 million to 2e-4 at 1.3 billion from
    scratch. Pretrained models are tuned for 5 epochs. Models from scratch are trained for 30, or as many as make 1,500
    optimizer steps, in batches that give about 120 steps per epoch.

    Where each item of a row is a target, batches are sized by tokens unless ``per_device_train_batch_size`` was given:
    rows of similar length share a batch, so with a fixed number of rows per batch a target of a long history would
    count for less than one of a short history.

    Args:
        args: options of the training, changed in place.
        lengths: int (rows,), tokens of an epoch's rows.
        num_parameters: parameters of the model, frozen ones included.
        adapters: whether LoRA-like adapters are trained instead of the model's weights.
        target_per_item: whether long rows have more targets than short ones.

    Returns:
        The options that were set, by name.
    """
    tokens, pretrained = int(lengths.sum()), bool(args.pretrained)
    batch_size, tokens_per_batch = args.per_device_train_batch_size or DEFAULT_BATCH_SIZE, args.tokens_per_batch
    chosen: dict[str, float] = {}
    if args.learning_rate is None:
        chosen["learning_rate"] = learning_rate(num_parameters, pretrained=pretrained, adapters=adapters)
    if tokens_per_batch is None and not args._rows_chosen and (target_per_item or not pretrained):
        if pretrained:
            tokens_per_batch = max(batch_size * tokens // len(lengths), 1)
        else:
            tokens_per_batch = int(min(max(tokens // (120 * args.world_size), 512), 8192))
        chosen["tokens_per_batch"] = tokens_per_batch
    if args.num_train_epochs is None:
        batches = tokens / tokens_per_batch if tokens_per_batch else len(lengths) / batch_size
        steps = max(batches / (args.world_size * args.gradient_accumulation_steps), 1.0)
        from_scratch = float(min(max(30, math.ceil(1500 / steps)), 400))
        chosen["num_train_epochs"] = TUNING_EPOCHS if pretrained else from_scratch
    start = "tuning pretrained weights" if pretrained else "training from scratch"
    _choose(args, chosen, f"{start}, {num_parameters / 1e6:,.1f} million parameters")
    return chosen


def fill_row_budget(args: RowTrainingConfig, tokens: int) -> dict[str, float]:
    """Set batch size and epochs that were not given, in place, from the size of an epoch.

    Args:
        args: options of the training, changed in place.
        tokens: tokens of an epoch, of all its rows.

    Returns:
        The options that were set, by name.
    """
    chosen: dict[str, float] = {}
    tokens_per_batch = args.tokens_per_batch
    if tokens_per_batch is None:
        share = tokens // (args.steps_per_epoch * args.world_size * args.gradient_accumulation_steps)
        tokens_per_batch = int(min(max(share, 64), args.max_batch))
        chosen["tokens_per_batch"] = tokens_per_batch
    per_step = tokens_per_batch * args.world_size
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
