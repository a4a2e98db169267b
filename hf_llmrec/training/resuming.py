"""Checks that a run resumes a checkpoint exactly; otherwise logs how it differs, or refuses it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

from transformers import TrainerCallback
from transformers.trainer import TRAINER_STATE_NAME

from ..data.files import read_json
from .batch_sampler import LengthGroupedBatchSampler
from .checkpoints import checkpoints
from .run_record import RunRecord

logger = logging.getLogger(__name__)


class ResumedRun(TrainerCallback):
    """Compares a run with the checkpoint that it resumes.

    Batches follow from seed, epoch and position, and those before the checkpoint are skipped. What determines them
    (number of processes, batch options, rows), and options that the optimizer's saved state would silently override,
    must be the same as in the checkpoint. Steps may be added; if none are left, nothing is trained.

    Args:
        sampler_of: returns the sampler of training batches; ``None`` before there is one.

    Attributes:
        record: the record of this run, which is saved in its checkpoints.
    """

    record: RunRecord

    def __init__(self, sampler_of: Callable[[], LengthGroupedBatchSampler | None]):
        self._sampler_of = sampler_of
        self._checkpoint: Path | None = None
        self._planned_steps = 0

    def begin(self, record: RunRecord, output_dir: str, checkpoint: str | None) -> None:
        """Check a run before anything is loaded.

        Args:
            record: of the run that begins now.
            output_dir: its output folder, which may hold checkpoints of an earlier run.
            checkpoint: the checkpoint that the run resumes; ``None``: it starts anew.

        Raises:
            ValueError: the checkpoint belongs to a different run; names the differences.
        """
        self.record, self._checkpoint = record, None if checkpoint is None else Path(checkpoint)
        if self._checkpoint is None:
            if earlier := [path.name for path in checkpoints(output_dir)]:
                logger.warning(
                    "%s has checkpoints of an earlier run (%s): this run begins anew, and --resume will go on from its "
                    "own once there are any",
                    output_dir,
                    ", ".join(earlier),
                )
            return
        self._planned_steps = read_json(self._checkpoint / TRAINER_STATE_NAME)["max_steps"]
        saved = RunRecord.load(self._checkpoint)
        if saved is None:
            logger.warning(
                "%s does not say what it can be resumed with (written by version 0.1): data and options have to be "
                "those of its run",
                checkpoint,
            )
            return
        differences = saved.differences(record)
        if differences:
            raise ValueError(
                f"{checkpoint} cannot be resumed: {'; '.join(differences)}. Resume with what it was written with, or "
                "train anew without --resume in another --output_dir"
            )
        self.record = dataclasses.replace(record, run_id=saved.run_id, started=saved.started)

    def on_train_begin(self, args, state, control, **kwargs):
        if self._checkpoint is None:
            return
        step, steps, name = state.global_step, state.max_steps, self._checkpoint.name
        if steps < step:
            raise ValueError(
                f"{self._checkpoint} was written after {step} steps, and this run ends after {steps}: there is nothing "
                "to train. Give more --max_steps or --num_train_epochs, or train anew without --resume in another "
                "--output_dir"
            )
        if steps == step:
            logger.warning("%s: all %d steps were trained; nothing is trained any more", name, steps)
            sampler = self._sampler_of()
            if sampler is not None:
                sampler.is_finished = True  # else the rest of the epoch would be trained
            return
        logger.info("going on from %s, step %d of %d", name, step, steps)
        if steps != self._planned_steps:
            logger.warning(
                "%s is of a run of %d steps, this one has %d: the learning rate follows their schedule from here on",
                name,
                self._planned_steps,
                steps,
            )
