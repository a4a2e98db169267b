"""Common base of the trainers: rows built per epoch, batches of similar length, ranking at every evaluation."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..data.epoch_dataset import EpochDataset
from ..data.splits import EvalCases, RecSplit
from ..evaluation.evaluator import evaluate_ranker
from .added_callbacks import callbacks_in_scope
from .batch_sampler import LengthGroupedBatchSampler
from .checkpoints import last_complete_checkpoint
from .divergence import DivergenceGuard
from .epoch_rows import EpochCallback, as_arrow_dataset
from .matrix_optimizer import check_trainer, trainers_muon
from .resuming import ResumedRun
from .run_record import RunRecord
from .short_log import shorten_logs
from .training_clock import TrainingClock
from .validation import early_stopping, learn_times, validation_cases

if TYPE_CHECKING:
    from transformers import Trainer

    from .language_model_config import LanguageModelTrainingConfig
    from .row_config import RowTrainingConfig

    _Base = Trainer  # what the mixin is combined with: type checkers then see the attributes and methods it uses
else:
    _Base = object


class RowTrainerMixin(_Base):
    """Mixin before `transformers.Trainer` or a subclass of it.

    Subclasses define `build_train_dataset`, `build_eval_dataset`, `build_collator` and `prepare`, which sets what
    follows from the rows.

    Args:
        recommender: the recommender whose model is trained, in place.
        args: options of the training; needs ``tokens_per_batch``, ``eval_users`` and ``patience``.
        split: from `RecDataset.split`; the defaults of the next three parameters are taken from it.
        train_dataset: training rows; default: those of `build_train_dataset`.
        eval_dataset: rows of the validation loss; default: the next item of ``eval_cases``.
        eval_cases: users that are ranked at every evaluation, by all processes together; default: ``eval_users`` of the
            split's validation users, a fixed sample. Without a split: no users are ranked.
        data_collator: makes a batch of rows; default: that of `build_collator`.
        callbacks: further callbacks, see `transformers.Trainer`.
        kwargs: parameters of the trainer that the mixin is put before.

    Attributes:
        recommender: recommends with the model as it stands at every evaluation, and holds the trained model afterwards.
        split: as passed; ``None`` without one.
        eval_cases: as passed, or as taken from the split.

    Raises:
        ValueError: neither a split nor training rows; no user has enough interactions to be evaluated; a dataset of
            other items than the recommender's.
    """

    # Narrower types than those of `transformers.Trainer`; subclasses may narrow them further.
    recommender: Any
    args: RowTrainingConfig | LanguageModelTrainingConfig
    model: nn.Module
    model_wrapped: nn.Module
    train_dataset: EpochDataset
    eval_dataset: EpochDataset | None

    # Number of items per user on which time features are fitted.
    _time_candidates = 200

    # Whether the batches of one optimizer step are neighbours in length, see `LengthGroupedBatchSampler`.
    _group_steps = False

    def __init__(
        self,
        recommender: Any,
        args: RowTrainingConfig | LanguageModelTrainingConfig,
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
        self._guard = DivergenceGuard(self._gathered)
        own = [self._run, EpochCallback(lambda: self._sampler), self._guard]
        super().__init__(
            model=model,
            args=args,
            data_collator=data_collator or self.build_collator(),
            # TRL accepts Arrow datasets only.
            train_dataset=as_arrow_dataset(train_dataset),
            eval_dataset=None if eval_dataset is None else as_arrow_dataset(eval_dataset),
            # The clock comes last, so that it counts what other callbacks do at a save as part of the save.
            callbacks=[*own, *(callbacks or []), *callbacks_in_scope(), *early_stopping(args), self._clock],
            **kwargs,
        )
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        shorten_logs(self)
        if args.matrix_optimizer == "muon":
            check_trainer(self)

    @staticmethod
    def build_train_dataset(recommender: Any, split: RecSplit, args: Any) -> EpochDataset:
        """Build the training rows, where none are passed to the trainer.

        Args:
            recommender: the recommender that is trained.
            split: its training interactions are used.
            args: options of the training.
        """
        raise NotImplementedError

    def build_eval_dataset(self, cases: EvalCases) -> EpochDataset:
        """Build the rows of the validation loss, where none are passed to the trainer.

        Args:
            cases: the validation users.
        """
        raise NotImplementedError

    def build_collator(self) -> Callable[[list], dict[str, torch.Tensor]]:
        """Build the function that makes a batch of rows, where none is passed to the trainer."""
        raise NotImplementedError

    def prepare(self, args: Any, train_dataset: EpochDataset, *, has_adapters: bool) -> nn.Module:
        """Set options and parts of the model that follow from the rows.

        Args:
            args: options of the training, changed in place.
            train_dataset: training rows.
            has_adapters: whether adapters are trained instead of the model's weights.

        Returns:
            The model that is trained.
        """
        raise NotImplementedError

    def _get_collator_with_removed_columns(self, data_collator, description=None):
        return data_collator  # it reads columns that need not be arguments of the model

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
        # Training batches differ in size, and every process has the same number of them by construction. For evaluation
        # accelerate's even_batches stays on: processes with different numbers of batches would wait for ever.
        settings = self.accelerator.dataloader_config
        even_batches, settings.even_batches = settings.even_batches, False
        try:
            return self.accelerator.prepare(loader)
        finally:
            settings.even_batches = even_batches

    def create_optimizer(self, model=None):
        if self.optimizer is None and self.args.matrix_optimizer == "muon":
            self.optimizer = trainers_muon(self, self.model if model is None else model)
        return super().create_optimizer(model)

    def train(self, resume_from_checkpoint: str | bool | None = None, *args, **kwargs):
        """Train as `transformers.Trainer` does, then fit what is added to the model's scores on validation users.

        `hf_llmrec.training.resuming` says what a run can be resumed with.
        """
        if resume_from_checkpoint is True:
            resume_from_checkpoint = last_complete_checkpoint(self.args.output_dir, self.args.world_size)
            if resume_from_checkpoint is None:
                raise ValueError(f"there is no complete checkpoint in {self.args.output_dir} to resume from")
        record = RunRecord.begin(self.args, self.args.facts, self.train_dataset, self._sharding)
        self._run.begin(record, self.args.output_dir, resume_from_checkpoint or None)
        output = super().train(resume_from_checkpoint, *args, **kwargs)
        if self.eval_cases is not None:
            with self._gathered_model() as model, self.accelerator.autocast(), self._recommend_with(model):
                self._fit_additions(self.eval_cases)
        return output

    def _fit_additions(self, cases: EvalCases) -> None:
        """Fit what is added to the scores of the trained model, on validation users."""
        if self.args.learn_time_features and self.split is not None:
            learn_times(self.recommender, self.split, cases, self._time_candidates)
        else:
            self.recommender.time_features = None

    @property
    def _sharding(self) -> str:
        """How weights are sharded over processes, as `RunRecord` names it."""
        deepspeed = getattr(self.accelerator.state, "deepspeed_plugin", None)
        if deepspeed is not None:
            return f"zero{deepspeed.zero_stage}"
        fsdp = getattr(self.accelerator.state, "fsdp_plugin", None)
        return "none" if fsdp is None else f"fsdp{fsdp.fsdp_version}"

    # accelerate annotates its collective operations with all that they accept; of a tensor they return a tensor.
    def _gathered(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensors of all processes, concatenated."""
        return cast(torch.Tensor, self.accelerator.gather(tensor))

    def _reduced(self, tensor: torch.Tensor, reduction: str) -> torch.Tensor:
        """The sum or mean of a tensor over all processes."""
        return cast(torch.Tensor, self.accelerator.reduce(tensor, reduction))

    def _save_checkpoint(self, model, trial):
        folder = Path(self.args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.args.should_save:
            # The folder may be left from a save that was killed or from an earlier run.
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
        """Number of tokens of a batch that ``tokens_per_second`` counts, padding included."""
        return inputs["input_ids"].numel()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:  # a log of training steps, which all processes make
            logs.update(self._speed())
        super().log(logs, start_time)

    def _speed(self) -> dict[str, float]:
        """Tokens per second of all processes since the last log, without evaluations and saves, and GPU memory."""
        device = self.args.device
        has_gpu = device.type not in ("cpu", "mps")  # the other devices count what they allocate
        peak = torch.get_device_module(device).max_memory_allocated(device) / 2**30 if has_gpu else 0.0
        own = torch.tensor([[self._tokens, peak]], device=device)
        tokens, peaks = self._gathered(own).T
        self._tokens = 0
        speed = {"tokens_per_second": tokens.sum().item() / max(self._clock.lap(), 1e-9)}
        return {**speed, "peak_memory_gib": peaks.max().item()} if has_gpu else speed

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        # Afterwards each process checks for itself whether the best checkpoint's folder exists. Under FSDP2 only some
        # processes might see it yet: these would load the best model at the end, and wait for the others for ever.
        Path(output_dir or self.args.output_dir).mkdir(parents=True, exist_ok=True)
        super().save_model(output_dir, _internal_call)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        # Next the first process writes the trainer's state, which marks a checkpoint as complete, and deletes older
        # checkpoints. All processes must have written their parts before.
        self.accelerator.wait_for_everyone()

    def evaluation_loop(self, *args, metric_key_prefix: str = "eval", **kwargs):
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        ranking = {f"{metric_key_prefix}_{name}": value for name, value in self.rank().items()}
        return output._replace(metrics={**(output.metrics or {}), **ranking})

    def rank(self) -> dict[str, float]:
        """Compute the ranking metrics of ``eval_cases`` with the model as it stands; called on all processes."""
        if self.eval_cases is None:
            return {}
        with self._gathered_model() as model, self.accelerator.autocast(), self._recommend_with(model):
            return self._rank(self.eval_cases)

    def _rank(self, cases: EvalCases) -> dict[str, float]:
        return evaluate_ranker(self.recommender, cases).metrics

    @contextmanager
    def _recommend_with(self, model: nn.Module) -> Iterator[None]:
        """Let the recommender recommend with ``model``, as `_gathered_model` yields it, inside the block."""
        before, self.recommender.model = self.recommender.model, self._recommending(model)
        try:
            yield
        finally:
            self.recommender.model = before

    def _recommending(self, model: Any) -> PreTrainedModel:
        """The part of the trained model that recommends."""
        return model

    def save_recommender(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Save the recommender as it stands, with gathered weights and merged adapters.

        It does what `Recommender.save_pretrained` does, for runs of several processes; all of them must call it. The
        model is not changed.

        Args:
            folder: the recommender folder.
            dtype: precision of the saved weights; default: that of the model.
        """
        self.recommender.save_pretrained(
            folder,
            is_main_process=self.args.should_save,
            save_model=lambda staging: self._save_weights(staging, dtype),
        )

    def _save_weights(self, folder: Path, dtype: torch.dtype | None) -> None:
        if self.args.should_save:
            self._recommending(self.accelerator.unwrap_model(self.model)).save_pretrained(folder)

    def _gathered_model(self) -> AbstractContextManager[nn.Module]:
        """The unwrapped model with all its weights."""
        return nullcontext(self.accelerator.unwrap_model(self.model_wrapped, keep_torch_compile=False))

    def create_model_card(self, *args, **kwargs) -> None:
        """Do nothing: TRL's card describes a chat model. A recommender's card is written when it is published."""
