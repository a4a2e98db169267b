"""Learning rate, epochs and batch size that nobody chose: from the size of the model and of the data."""

from __future__ import annotations

import logging
import math

import numpy as np
from transformers import TrainingArguments

from .language_model_config import LanguageModelTrainingConfig
from .row_config import RowTrainingConfig

logger = logging.getLogger(__name__)

# Models below are taken to be trained from scratch: there is no smaller pretrained LLM.
SMALL_MODEL = 50_000_000
# Rows per device by transformers' default, which nobody chose either.
_ROWS = 8


def fill_budget(
    args: LanguageModelTrainingConfig,
    lengths: np.ndarray,
    num_parameters: int,
    adapters: bool,
    *,
    target_per_item: bool,
) -> None:
    """Set the options of ``args`` that are ``None``, in place, and log them.

    A small model learns from nothing: 30 epochs, or as many as 1,500 optimizer steps need, at 2e-3, in batches that
    give about 120 steps an epoch. A pretrained one is tuned for 4 epochs (the paper's; arXiv 2311.09049, section
    4.1.4) at 5e-5, or at 2e-4 where adapters are trained, with ``per_device_train_batch_size``.

    Where each item of a row is a target, batches are sized by tokens: rows of similar length share a batch, and in
    batches of as many rows each, a target of a long history would count for less than one of a short history.

    Args:
        lengths: int (rows,), tokens of an epoch's rows.
        num_parameters: of the model. adapters: whether LoRA-like adapters are trained.
        target_per_item: whether long rows have more targets than short ones.
    """
    small = num_parameters < SMALL_MODEL
    tokens = int(lengths.sum())
    chosen: dict[str, float] = {}
    if args.learning_rate is None:
        chosen["learning_rate"] = 2e-3 if small else 2e-4 if adapters else 5e-5
    if args.tokens_per_batch is None and args.per_device_train_batch_size == _ROWS:
        if small:
            chosen["tokens_per_batch"] = int(min(max(tokens // (120 * args.world_size), 512), 8192))
        elif target_per_item:
            chosen["tokens_per_batch"] = max(_ROWS * tokens // len(lengths), 1)
    if args.num_train_epochs is None:
        per_batch = chosen.get("tokens_per_batch", args.tokens_per_batch)
        batches = tokens / per_batch if per_batch else len(lengths) / args.per_device_train_batch_size
        steps = max(batches / (args.world_size * args.gradient_accumulation_steps), 1.0)
        chosen["num_train_epochs"] = float(min(max(30, math.ceil(1500 / steps)), 400)) if small else 4.0
    _choose(args, chosen, "from the model's and the data's size")


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
