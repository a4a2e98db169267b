"""What the package's trainers share: rows of the epoch in batches of similar length, ranking at every evaluation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from .batch_sampler import LengthGroupedBatchSampler
from .checkpoints import last_complete_checkpoint
from .divergence import DivergenceGuard
from .epoch_rows import EpochCallback, EpochRows, Rows, rows_dataset
from .resuming import ResumedRun
from .run_record import RunRecord
from .short_log import shorten_logs
from .training_clock import TrainingClock


class RowTrainerMixin:
    """Put before `transformers.Trainer` or a subclass, whose ``__init__`` gets what `_use_rows` returns.

    ``args`` needs ``tokens_per_batch``.
    """

    # Whether the batches of one optimizer step are neighbours in length, see `LengthGroupedBatchSampler`.
    _group_steps = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        shorten_logs(self)

    def _use_rows(
        self,
        rows: Rows,
        eval_rows: Rows | None,
        collator: Callable[[list], dict[str, torch.Tensor]],
        ranking_metrics: Callable[[PreTrainedModel], dict[str, float]] | None,
        callbacks: list[TrainerCallback] | None,
    ) -> dict[str, Any]:
        """Remember the rows; returns the data sets, collator and callbacks for the trainer's ``__init__``."""
        self._train_rows = rows
        self._train_transform = EpochRows(rows)
        self._sampler: LengthGroupedBatchSampler | None = None
        self._ranking_metrics = ranking_metrics
        self._clock, self._tokens = TrainingClock(), 0
        self._run = ResumedRun(lambda: self._sampler)
        self._guard = DivergenceGuard(lambda tensor: self.accelerator.gather(tensor))
        own = [self._run, EpochCallback(lambda: self._sampler), self._guard]
        return {
            "data_collator": collator,
            "train_dataset": rows_dataset(self._train_transform),
            "eval_dataset": None if eval_rows is None else rows_dataset(EpochRows(eval_rows)),
            # The clock comes last: what the others do at a save is part of the save.
            "callbacks": [*own, *(callbacks or []), self._clock],
        }

    def _set_signature_columns_if_needed(self):
        self._signature_columns = ["slot"]

    def get_train_dataloader(self) -> DataLoader:
        args = self.args
        self._sampler = LengthGroupedBatchSampler(
            self._train_rows.lengths,
            batch_size=None if args.tokens_per_batch else self._train_batch_size,
            tokens_per_batch=args.tokens_per_batch,
            seed=args.data_seed if args.data_seed is not None else args.seed,
            num_processes=args.world_size,
            group=args.world_size * args.gradient_accumulation_steps if self._group_steps else 1,
            on_epoch=self._train_transform.set_epoch,
        )
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=self._sampler,
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=args.dataloader_multiprocessing_context,
            in_order=args.dataloader_in_order,
        )
        # Training batches differ in size, and their number is even by construction. Evaluation keeps accelerate's way
        # of evening batches out: processes with different numbers of batches would wait for each other for ever.
        settings = self.accelerator.dataloader_config
        even_batches, settings.even_batches = settings.even_batches, False
        try:
            return self.accelerator.prepare(loader)
        finally:
            settings.even_batches = even_batches

    def train(self, resume_from_checkpoint: str | bool | None = None, *args, **kwargs):
        """As in `transformers.Trainer`; see `hf_llmrec.training.resuming` for what a run can be resumed with."""
        if resume_from_checkpoint is True:
            resume_from_checkpoint = last_complete_checkpoint(self.args.output_dir, self.args.world_size)
            if resume_from_checkpoint is None:
                raise ValueError(f"there is no complete checkpoint in {self.args.output_dir} to resume from")
        now = RunRecord.begin(self.args, self.args.facts, self._train_rows, self._sharding)
        self._run.begin(now, self.args.output_dir, resume_from_checkpoint or None)
        return super().train(resume_from_checkpoint, *args, **kwargs)

    @property
    def _sharding(self) -> str:
        """How weights are spread over processes, as `RunRecord` names it."""
        if self.is_deepspeed_enabled:
            return f"zero{self.accelerator.state.deepspeed_plugin.zero_stage}"
        return f"fsdp{self.accelerator.state.fsdp_plugin.fsdp_version}" if self.is_fsdp_enabled else "none"

    def _save_checkpoint(self, model, trial):
        folder = Path(self.args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.args.should_save:
            # Of a save that was killed, or of an earlier run: its files are no part of this checkpoint.
            shutil.rmtree(folder, ignore_errors=True)
            self._run.record.save(folder)
        self.accelerator.wait_for_everyone()
        super()._save_checkpoint(model, trial)

    def training_step(self, model, inputs, *args, **kwargs):
        self._tokens += self._tokens_of(inputs)
        loss = super().training_step(model, inputs, *args, **kwargs)
        self._guard.observe(loss, self.state.global_step + 1, self.args.fp16)
        return loss

    def _tokens_of(self, inputs: dict[str, Any]) -> int:
        """What ``tokens_per_second`` counts of a batch, padding included."""
        return inputs["input_ids"].numel()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:  # of training steps, on all processes
            logs.update(self._speed())
        super().log(logs, start_time)

    def _speed(self) -> dict[str, float]:
        """Tokens per second of all processes since the last log, evaluations and saves left out, and GPU memory."""
        device = self.args.device
        has_gpu = device.type not in ("cpu", "mps")  # those that count what they allocate
        peak = torch.get_device_module(device).max_memory_allocated(device) / 2**30 if has_gpu else 0.0
        own = torch.tensor([[self._tokens, peak]], device=device)
        tokens, peaks = self.accelerator.gather(own).T
        self._tokens = 0
        found = {"tokens_per_second": tokens.sum().item() / max(self._clock.lap(), 1e-9)}
        return {**found, "peak_memory_gib": peaks.max().item()} if has_gpu else found

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        # The trainer then looks whether the best checkpoint's folder is there, each process for itself. Under FSDP2 it
        # would not be yet, or for some: these would load the best model at the end, and wait for the others for ever.
        Path(output_dir or self.args.output_dir).mkdir(parents=True, exist_ok=True)
        super().save_model(output_dir, _internal_call)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        # Next the first process writes the trainer's state, which says that a checkpoint is complete, and deletes older
        # ones: not before all processes have written their parts.
        self.accelerator.wait_for_everyone()

    def evaluation_loop(self, *args, metric_key_prefix: str = "eval", **kwargs):
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        found = self.rank()
        output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in found.items()})
        return output

    def rank(self) -> dict[str, float]:
        """``ranking_metrics`` of the model as it stands, on all processes."""
        if self._ranking_metrics is None:
            return {}
        with self._whole_model() as model, self.accelerator.autocast():
            return self._ranking_metrics(model)

    def _whole_model(self) -> AbstractContextManager[nn.Module]:
        """The model inside whatever wraps it, with all its weights."""
        return nullcontext(self.accelerator.unwrap_model(self.model_wrapped))

    def create_model_card(self, *args, **kwargs) -> None:
        """None: TRL's card describes a chat model. A recommender's card is written when it is published."""
