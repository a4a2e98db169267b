"""What the package's trainers share: rows of the epoch in batches of similar length, ranking at every evaluation."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, PreTrainedModel, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..data.epoch_dataset import EpochDataset
from ..data.splits import EvalCases, RecSplit
from ..evaluation.evaluator import evaluate_ranker
from .batch_sampler import LengthGroupedBatchSampler
from .checkpoints import last_complete_checkpoint
from .divergence import DivergenceGuard
from .epoch_rows import EpochCallback, as_arrow_dataset
from .resuming import ResumedRun
from .run_record import RunRecord
from .short_log import shorten_logs
from .training_clock import TrainingClock


def validation_cases(split: RecSplit, users: int) -> EvalCases:
    """The validation users that are ranked at every evaluation.

    Args:
        split: gives them.
        users: at most so many of them, a fixed random sample; 0: all.

    Raises:
        ValueError: there is none, see `RecSplit.require_cases`.
    """
    cases = split.require_cases("validation")
    return cases.sample(users, seed=0) if users else cases


def early_stopping(args) -> list[TrainerCallback]:
    """What ends a run that gets no better: nothing, or transformers' early stopping.

    Args:
        args: with ``patience``, evaluations without a better result after which a run ends (0: never).
    """
    return [EarlyStoppingCallback(args.patience)] if args.patience and args.load_best_model_at_end else []


class RowTrainerMixin:
    """Put before `transformers.Trainer` or a subclass. ``args`` needs ``tokens_per_batch``, ``eval_users``
    and ``patience``.

    Subclasses define `build_train_dataset`, `build_eval_dataset` and `build_collator`; `prepare` sets what follows from
    the rows.

    Args:
        recommender: what is trained, in place.
        args: options of the training.
        split: from `RecDataset.split`; shorthand for the three that follow.
        train_dataset: training rows; default: those of `build_train_dataset`.
        eval_dataset: rows of the validation loss; default: the next item of ``eval_cases``.
        eval_cases: users that are ranked at every evaluation, all processes together; default: ``eval_users`` of the
            split's validation users, a fixed sample. ``None`` and no split: nobody is ranked.
        data_collator: makes a batch of rows; default: that of `build_collator`.
        callbacks: see `transformers.Trainer`.
        kwargs: of the trainer that this is put before.

    Attributes:
        recommender: its model is ranked with at every evaluation, and is the trained one afterwards.
        eval_cases: as above.

    Raises:
        ValueError: neither a split nor training rows; no user has enough interactions to be evaluated; a dataset of
            other items than the recommender's.
    """

    # Whether the batches of one optimizer step are neighbours in length, see `LengthGroupedBatchSampler`.
    _group_steps = False

    def __init__(
        self,
        recommender,
        args,
        *,
        split: RecSplit | None = None,
        train_dataset: EpochDataset | None = None,
        eval_dataset: EpochDataset | None = None,
        eval_cases: EvalCases | None = None,
        data_collator: Callable[[list], dict[str, torch.Tensor]] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        **kwargs: Any,
    ):
        self.recommender, self.split = recommender, split
        if train_dataset is None:
            if split is None:
                raise ValueError("there is nothing to train on: give split=, or train_dataset=")
            train_dataset = self.build_train_dataset(recommender, split, args)
        if split is not None:
            eval_cases = validation_cases(split, args.eval_users) if eval_cases is None else eval_cases
            recommender.trained_on(split.require_dataset(), split)
        self.eval_cases = eval_cases
        model = self.prepare(args, train_dataset, has_adapters=kwargs.get("peft_config") is not None)
        if eval_dataset is None and eval_cases is not None:
            eval_dataset = self.build_eval_dataset(eval_cases)
        self._sampler: LengthGroupedBatchSampler | None = None
        self._clock, self._tokens = TrainingClock(), 0
        self._run = ResumedRun(lambda: self._sampler)
        self._guard = DivergenceGuard(lambda tensor: self.accelerator.gather(tensor))
        own = [self._run, EpochCallback(lambda: self._sampler), self._guard]
        super().__init__(
            model=model,
            args=args,
            data_collator=data_collator or self.build_collator(),
            # TRL takes datasets of this kind only.
            train_dataset=as_arrow_dataset(train_dataset),
            eval_dataset=None if eval_dataset is None else as_arrow_dataset(eval_dataset),
            # The clock comes last: what the others do at a save is part of the save.
            callbacks=[*own, *(callbacks or []), *early_stopping(args), self._clock],
            **kwargs,
        )
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        shorten_logs(self)

    @staticmethod
    def build_train_dataset(recommender, split: RecSplit, args) -> EpochDataset:
        """The rows that are trained on where none are given."""
        raise NotImplementedError

    def build_eval_dataset(self, cases: EvalCases) -> EpochDataset:
        """The rows of the validation loss where none are given."""
        raise NotImplementedError

    def build_collator(self) -> Callable[[list], dict[str, torch.Tensor]]:
        """What makes a batch of rows where nothing else is given."""
        raise NotImplementedError

    def prepare(self, args, train_dataset: EpochDataset, *, has_adapters: bool) -> nn.Module:
        """Set options and parts of the model that follow from the rows; returns the model that is trained.

        Args:
            args: options of the training, changed in place.
            train_dataset: training rows.
            has_adapters: whether adapters are trained instead of the model's weights.
        """
        raise NotImplementedError

    def _get_collator_with_removed_columns(self, data_collator, description=None):
        return data_collator  # rows hold what collators read, which need not be arguments of the model

    def get_train_dataloader(self) -> DataLoader:
        args = self.args
        self._sampler = LengthGroupedBatchSampler(
            self.train_dataset.lengths,
            batch_size=None if args.tokens_per_batch else self._train_batch_size,
            tokens_per_batch=args.tokens_per_batch,
            seed=args.data_seed if args.data_seed is not None else args.seed,
            num_processes=args.world_size,
            group=args.world_size * args.gradient_accumulation_steps if self._group_steps else 1,
            on_epoch=self.train_dataset.set_epoch,
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
        now = RunRecord.begin(self.args, self.args.facts, self.train_dataset, self._sharding)
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
        """Ranking metrics of ``eval_cases`` with the model as it stands, on all processes."""
        if self.eval_cases is None:
            return {}
        with self._whole_model() as model, self.accelerator.autocast(), self._asked(model):
            return self._rank(self.eval_cases)

    def _rank(self, cases: EvalCases) -> dict[str, float]:
        return evaluate_ranker(self.recommender, cases).metrics

    @contextmanager
    def _asked(self, model: nn.Module) -> Iterator[None]:
        """Let the recommender recommend with ``model``, as `_whole_model` gives it, for a while."""
        kept, self.recommender.model = self.recommender.model, self._recommending(model)
        try:
            yield
        finally:
            self.recommender.model = kept

    def _recommending(self, model: nn.Module) -> PreTrainedModel:
        """What recommends, of what is trained."""
        return model

    def save_recommender(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write the recommender as it stands, its weights gathered and its adapters merged.

        As `Recommender.save_pretrained`, for runs of several processes, all of which call it. The model is not changed.

        Args:
            folder: the recommender folder.
            dtype: of the saved weights; default: that of the model.
        """
        self.recommender.save_pretrained(
            folder,
            is_main_process=self.args.should_save,
            save_model=lambda staging: self._save_weights(staging, dtype),
        )

    def _save_weights(self, folder: Path, dtype: torch.dtype | None) -> None:
        if self.args.should_save:
            self._recommending(self.accelerator.unwrap_model(self.model)).save_pretrained(folder)

    def _whole_model(self) -> AbstractContextManager[nn.Module]:
        """The model inside whatever wraps it, with all its weights."""
        return nullcontext(self.accelerator.unwrap_model(self.model_wrapped))

    def create_model_card(self, *args, **kwargs) -> None:
        """None: TRL's card describes a chat model. A recommender's card is written when it is published."""
