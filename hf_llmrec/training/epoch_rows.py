"""Rows that are built when a batch asks for them, anew in every epoch, and their collation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from datasets import Dataset
from transformers import TrainerCallback

from .batch_sampler import LengthGroupedBatchSampler


class Rows(Protocol):
    """What a trainer trains on; see `hf_llmrec.methods.lcrec.rows` and `hf_llmrec.prompting.item_sequences`."""

    def __len__(self) -> int: ...

    def build(self, slot: int, epoch: int) -> dict[str, Sequence[int]]: ...

    def lengths(self, epoch: int) -> np.ndarray: ...


class EpochRows:
    """Turns row numbers into rows of the current epoch, as a `datasets` transform."""

    def __init__(self, rows: Rows):
        self.rows = rows
        # Shared with worker processes: those that outlive an epoch must learn of the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        self._epoch.fill_(epoch)

    def __call__(self, batch: dict[str, list[int]]) -> dict[str, list[list[int]]]:
        epoch = self.epoch
        built = [self.rows.build(int(slot), epoch) for slot in batch["slot"]]
        return {name: [row[name] for row in built] for name in built[0]}


def rows_dataset(transform: EpochRows) -> Dataset:
    """A dataset of row numbers that ``transform`` turns into rows."""
    return Dataset.from_dict({"slot": list(range(len(transform.rows)))}).with_transform(transform)


class RightPadCollator:
    """Pads ``input_ids`` with ``pad_token_id`` and ``labels`` with -100 on the right; int64 (batch, longest).

    There is no attention mask: under causal attention a token never sees the padding to its right, padding has no
    label, and without a mask attention runs its fastest kernel.
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
    """Names the epoch before its first batch is drawn, also after a resume in the middle of one."""

    def __init__(self, sampler_of: Callable[[], LengthGroupedBatchSampler | None]):
        self._sampler_of = sampler_of

    def on_epoch_begin(self, args, state, control, **kwargs):
        sampler = self._sampler_of()
        if sampler is not None:
            sampler.set_epoch(math.floor((state.epoch or 0.0) + 1e-6))
