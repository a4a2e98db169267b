"""``--push_to_hub`` during training: pushes complete recommenders in the background, and resumes runs from the Hub."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers import TrainerCallback
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import HubStrategy

from ..data.files import read_json, write_json
from ..data.recommender_folder import TRAINING_REPORT
from ..hub.export import fetch_folder, list_files, make_repo, push_folder
from ..hub.publish import Publication, prepare
from ..hub.published_files import all_files, checkpoint_files, copy_files
from ..hub.requirements import push_requirement, write_requirements
from .checkpoints import last_complete_checkpoint
from .main_process import run_on_main_process

if TYPE_CHECKING:
    from .language_model_config import LanguageModelTrainingConfig
    from .row_config import RowTrainingConfig

logger = logging.getLogger(__name__)
LAST, BEST = "last-checkpoint", "best-checkpoint"
_STAGING = ".staging-push-"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


class TrainingPushes(TrainerCallback):
    """Pushes the recommender as it stands at every save, as ``--hub_strategy`` says; `finish_run` pushes at the end.

    ``push_to_hub`` is switched off in the options, as the trainer's own push would upload an incomplete folder. All
    processes stage a save, then one thread of the first process uploads it, so that uploads never overlap. A save is
    not pushed while another upload is under way, unless it is the last or ``--hub_always_push`` is set. A failed upload
    is logged; training goes on.

    Args:
        training: options of the training; its ``push_to_hub`` is switched off.
        save: writes the complete recommender to a folder; called on all processes; leaves the model as it is.

    Attributes:
        training: as passed.
        save: as passed.
        is_writer: whether this process writes files for all.
        wanted: whether the run is pushed to the Hub at all.
        strategy: when it is pushed, from ``--hub_strategy``.
        keeps_checkpoints: whether checkpoints are pushed, too.

    Raises:
        ValueError: a strategy with nothing to push under ``--save_strategy`` or ``--save_only_model``.
    """

    def __init__(self, training: RowTrainingConfig | LanguageModelTrainingConfig, save: Callable[[Path], None]):
        self.training, self.save = training, save
        # Read now: a second set of training arguments, created for the report, sets up the devices again, and then each
        # process may consider itself the first one.
        self.is_writer = training.should_save
        self.wanted, training.push_to_hub = training.push_to_hub, False
        self.strategy = HubStrategy(training.hub_strategy)
        self.keeps_checkpoints = self.strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS)
        if self.wanted and self.strategy != HubStrategy.END and training.save_strategy == "no":
            raise ValueError(f"--hub_strategy {self.strategy.value} pushes at saves, and --save_strategy no makes none")
        if self.wanted and self.keeps_checkpoints and training.save_only_model:
            raise ValueError(
                f"--hub_strategy {self.strategy.value} pushes what a run is resumed from, which --save_only_model "
                "leaves out: use --hub_strategy every_save"
            )
        self._sender: ThreadPoolExecutor | None = None
        self._sent: list[Future] = []
        self._had_progress_bars = not are_progress_bars_disabled()

    @property
    def _output(self) -> Path:
        return Path(self.training.output_dir)

    def _make_repo(self) -> str:
        args = self.training
        name = args.hub_model_id or self._output.resolve().name
        return make_repo(name, token=args.hub_token, private=args.hub_private_repo)

    # -- at a save ----------------------------------------------------------------------------------------------------

    def on_train_begin(self, args, state, control, **kwargs):
        if not self.wanted or not state.is_world_process_zero:
            return
        # Now, not after hours: without write access nothing of this run could be pushed.
        self._repo_id = self._make_repo()
        if self.strategy != HubStrategy.END:
            self._requirement = push_requirement(self._repo_id, token=args.hub_token, revision=args.hub_revision)
        for left_over in self._output.glob(f"{_STAGING}*"):
            shutil.rmtree(left_over)
        if self.strategy != HubStrategy.END:
            disable_progress_bars()  # they would interrupt the log's lines

    def on_save(self, args, state, control, **kwargs):
        if not self.wanted or self.strategy == HubStrategy.END:
            return
        is_last = state.global_step >= state.max_steps or control.should_training_stop
        is_busy = any(not each.done() for each in self._sent)
        # Only the first process has uploads under way; all of them are needed to gather weights.
        is_pushed = [not is_busy or is_last or args.hub_always_push]
        if not broadcast_object_list(is_pushed)[0]:
            logger.info("step %d is not pushed: the push before it is under way", state.global_step)
            return
        staging = self._output / f"{_STAGING}{state.global_step}"
        # Building a model draws random numbers; the run's random state must not change.
        with torch.random.fork_rng(devices=[]):
            self.save(staging / "recommender")
        PartialState().wait_for_everyone()  # until all have written their part of the checkpoint
        if not state.is_world_process_zero:
            return
        report = {"step": state.global_step, "seed": args.seed, "log": state.log_history}
        options = self.training.facts.get("options", {})
        write_json(staging / "recommender" / TRAINING_REPORT, {**report, "config": options})
        checkpoints = self._checkpoints(state) if self.keeps_checkpoints else {}
        for name, folder in checkpoints.items():
            # Hard links, so that the files outlive the rotation of checkpoints.
            copy_files(folder, checkpoint_files(folder), staging / "repo" / name, copy=_link)
            _without_paths(staging / "repo" / name / TRAINER_STATE_NAME)
        self._sender = self._sender or ThreadPoolExecutor(max_workers=1)
        self._sent = [each for each in self._sent if not each.done()]
        self._sent.append(self._sender.submit(self._send, staging, state.global_step))

    def _checkpoints(self, state) -> dict[str, Path]:
        """Folders that are pushed beside the recommender: the checkpoint of this save, and the best if it differs."""
        last = self._output / f"checkpoint-{state.global_step}"
        best = None if state.best_model_checkpoint is None else Path(state.best_model_checkpoint)
        is_one = self.strategy == HubStrategy.CHECKPOINT
        folders = {LAST if is_one else last.name: last}
        if best is not None and best.name != last.name:
            folders[BEST if is_one else best.name] = best
        return folders

    def _send(self, staging: Path, step: int) -> None:
        try:
            prepare(staging / "recommender", self._repo_id, Publication(), staging / "repo")
            write_requirements(staging / "repo", self._requirement)
            push_folder(
                staging / "repo",
                all_files(staging / "repo"),
                self._repo_id,
                token=self.training.hub_token,
                revision=self.training.hub_revision,
                message=f"Training in progress, step {step}",
                replaced=(LAST, BEST) if self.strategy == HubStrategy.CHECKPOINT else (),
            )
            logger.info("step %d: pushed to %s", step, self._repo_id)
        except Exception as error:  # whatever it is, it must not end hours of training
            reason = f"{type(error).__name__}: {error}"
            logger.warning("step %d was not pushed to %s, training goes on: %s", step, self._repo_id, reason)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def wait(self) -> None:
        """Wait until no upload is under way: the last push must be the last to arrive."""
        if any(not each.done() for each in self._sent):
            logger.info("waiting for the push under way")
        wait(self._sent)
        if self._had_progress_bars:
            enable_progress_bars()

    # -- at a start ---------------------------------------------------------------------------------------------------

    def checkpoint(self) -> str | None:
        """The checkpoint for ``--resume``: the last complete one in the output folder, else that on the Hub.

        Returns:
            Its folder; ``None`` if there is none.

        Raises:
            ValueError: the checkpoint on the Hub was written by another number of processes.
        """
        args = self.training
        if self.wanted and self.keeps_checkpoints:
            run_on_main_process(self._fetch_if_none, "fetching a checkpoint from the Hub")
        return last_complete_checkpoint(self._output, args.world_size)

    def _fetch_if_none(self) -> None:
        if last_complete_checkpoint(self._output, self.training.world_size) is None:
            self._fetch()

    def _fetch(self) -> None:
        repo_id, is_one = self._make_repo(), self.strategy == HubStrategy.CHECKPOINT
        commit, files = list_files(repo_id, token=self.training.hub_token, revision=self.training.hub_revision)
        available = {name.split("/")[0] for name in files if name.endswith(f"/{TRAINER_STATE_NAME}")}
        steps = [int(match[1]) for match in map(_CHECKPOINT.fullmatch, available) if match]
        last = LAST if is_one else f"checkpoint-{max(steps, default=0)}"
        if last not in available:
            logger.info("%s has no %s: the run begins anew", repo_id, LAST if is_one else "checkpoint")
            return
        staging = self._output / f"{_STAGING}fetched"
        shutil.rmtree(staging, ignore_errors=True)
        token = self.training.hub_token
        fetch_folder(repo_id, last, staging, token=token, revision=commit)
        state = read_json(staging / last / TRAINER_STATE_NAME)
        step, best = state["global_step"], state["best_global_step"]
        if best is not None:
            name = BEST if is_one else f"checkpoint-{best}"
            if best != step and name in available:
                fetch_folder(repo_id, name, staging, token=token, revision=commit)
                _move(staging / name, self._output / f"checkpoint-{best}")
            # In the fetched state it is a folder's name, see `_without_paths`.
            state["best_model_checkpoint"] = str(self._output / f"checkpoint-{best}")
            write_json(staging / last / TRAINER_STATE_NAME, state)
        _move(staging / last, self._output / f"checkpoint-{step}")
        shutil.rmtree(staging)
        logger.info("step %d of %s was fetched to go on from", step, repo_id)
        if last_complete_checkpoint(self._output, self.training.world_size) is None:
            raise ValueError(
                f"--resume: {last} of {repo_id} was not written by {self.training.world_size} processes: resume with "
                "as many as before"
            )


def _without_paths(trainer_state: Path) -> None:
    """Replace the best checkpoint's path on this machine by its folder's name, in place."""
    state = read_json(trainer_state)
    if state["best_model_checkpoint"] is not None:
        state["best_model_checkpoint"] = Path(state["best_model_checkpoint"]).name
    write_json(trainer_state, state)


def _move(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)  # an incomplete folder of that name
    source.rename(target)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)
