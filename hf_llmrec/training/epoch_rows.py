"""Rows of an `EpochDataset` as the Arrow dataset that TRL needs, and their collation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainerCallback

from ..data.epoch_dataset import EpochDataset
from .batch_sampler import LengthGroupedBatchSampler


class _Rows:
    """The transform of `as_arrow_dataset`; a class, so that it can be pickled for worker processes."""

    def __init__(self, rows: EpochDataset):
        self.rows = rows

    def __call__(self, batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        built = [self.rows[slot] for slot in batch["slot"]]
        return {name: [row[name] for row in built] for name in built[0]}


def as_arrow_dataset(rows: EpochDataset) -> Dataset:
    """Wrap rows in a `datasets.Dataset` of their numbers, which a transform turns into the rows of the epoch.

    Args:
        rows: the rows; their `set_epoch` also chooses the epoch of the wrapped ones.
    """
    return Dataset.from_dict({"slot": list(range(len(rows)))}).with_transform(_Rows(rows))


class RightPadCollator:
    """Pads ``input_ids`` with ``pad_token_id`` and ``labels`` with -100 on the right; int64 (batch, longest).

    There is no attention mask: under causal attention a token never sees the padding to its right, padding has no
    label, and without a mask attention runs its fastest kernel.

    Args:
        pad_token_id: the token that ``input_ids`` are padded with.
    """

    def __init__(self, pad_token_id: int):
        self.pad_token_id = pad_token_id

    def __call__(self, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        input_ids = torch.full((len(rows), longest), self.pad_token_id)
        labels = torch.full((len(rows), longest), -100)
        for number, row in enumerate(rows):
            input_ids[number, : len(row["input_ids"])] = torch.as_tensor(row["input_ids"])
            labels[number, : len(row["labels"])] = torch.as_tensor(row["labels"])
        return {"input_ids": input_ids, "labels": labels}


class EpochCallback(TrainerCallback):
    """Sets the sampler's epoch before its first batch is drawn, also after a resume within an epoch.

    Args:
        sampler_of: returns the sampler of training batches; ``None`` before there is one.
    """

    def __init__(self, sampler_of: Callable[[], LengthGroupedBatchSampler | None]):
        self._sampler_of = sampler_of

    def on_epoch_begin(self, args, state, control, **kwargs):
        sampler = self._sampler_of()
        if sampler is not None:
            sampler.set_epoch(math.floor((state.epoch or 0.0) + 1e-6))
