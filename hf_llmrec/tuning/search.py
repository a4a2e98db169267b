"""`HyperparameterSearch`: trials within a budget, resumable, of which the best model and its options are kept."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..data.files import write_text
from ..training.training_clock import spoken
from .durations import seconds_of
from .proposals import Proposals
from .report import best_options, in_order, trial_report, trial_table
from .search_record import check_same_search, the_only_search
from .space import SearchSpace, with_values
from .trials import RECORD, Trial, TrialPruned, TrialRecord, TrialStopped

logger = logging.getLogger(__name__)
# Without a complete one among so many trials, the search ends: the cause is hardly the values of the space.
_MAX_FAILURES = 5


class HyperparameterSearch:
    """Trains a model with different options, and keeps the one that is best on validation users.

    Trial 0 has none of the space's options: it is the default, which the result is therefore never worse than. The
    others have values that Optuna's TPE sampler proposes from the trials before. After four complete trials, one whose
    best evaluation is below the median of the others at the same part of the training is given up.

    Each trial is recorded in ``output_dir/trials``. A search in the same folder goes on from there, within what is left
    of the budget; a trial that was interrupted is the first one then, with the same values. After each trial are
    written: ``trials.json`` and ``trials.md`` (all trials, the best first), ``best.yaml`` (the options of the best) and
    ``best`` (its recommender). What other trials saved is deleted.

    Args:
        space: the options that are varied.
        output_dir: folder of the search.
        options: options that all trials share; the space's values take precedence, except in trial 0.
        metric: name of the validation metric; more is better.
        budget: seconds, or a duration such as ``2h``, that all trials together may take, those of an interrupted search
            included. A trial that takes longer than what is left, judging by the mean of the complete ones, is not
            begun, and one that is not done in time is stopped; only trial 0 takes as long as it takes. Default: no
            limit.
        num_trials: number of trials, trial 0 and trials that were pruned or failed included. Default: no limit.
        seed: of the sampler.
        prune: whether to give up trials.
        facts: further values, such as those that identify the data, without which trials cannot be compared; JSON
            values.
        heading: first line of ``best.yaml``, a comment; default: none.
        clock: returns seconds; default: `time.monotonic`.

    Raises:
        ValueError: neither ``budget`` nor ``num_trials``; a value out of range; ``output_dir`` has the trials of
            another search.
        ModuleNotFoundError: Optuna is not installed (``pip install 'hf_llmrec[tune]'``).

    Example:
        ```python
        def train(trial):
            recommender = SASRecRecommender.from_dataset(dataset, **trial.options.get("model_options", {}))
            config = SASRecTrainingConfig(str(trial.folder), learning_rate=trial.options.get("learning_rate", 1e-3))
            trainer = SASRecTrainer(recommender, config, split=split, callbacks=[trial.callback()])
            trainer.train()
            recommender.save_pretrained(trial.folder)
            return trainer.rank()[trial.metric]

        space = SearchSpace({"learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}})
        best = HyperparameterSearch(space, "out-search", budget="30m").run(train)
        ```
    """

    def __init__(
        self,
        space: SearchSpace,
        output_dir: str | Path,
        *,
        options: Mapping[str, Any] | None = None,
        metric: str = "ndcg@10",
        budget: str | float | None = None,
        num_trials: int | None = None,
        seed: int = 0,
        prune: bool = True,
        facts: Mapping[str, Any] | None = None,
        heading: str = "",
        clock: Callable[[], float] = time.monotonic,
    ):
        if budget is None and num_trials is None:
            raise ValueError("budget or num_trials is needed: a search has no end of its own")
        if num_trials is not None and num_trials < 1:
            raise ValueError(f"num_trials must be at least 1, got {num_trials}")
        self.space, self.folder, self.metric = space, Path(output_dir), metric
        self.options, self.num_trials = dict(options or {}), num_trials
        self.budget = None if budget is None else seconds_of(budget)
        self._proposals, self._prune, self._heading, self._clock = Proposals(space, seed), prune, heading, clock
        with_values(self.options, dict.fromkeys(space))  # refuses names that lead into options that are no mappings
        record = {"metric": metric, "seed": seed, "space": space.to_dict(), "options": self.options}
        self._record = {**record, **(facts or {})}
        self._began = self._spent_before = 0.0
        self.trials: list[TrialRecord] = []

    def run(self, train: Callable[[Trial], float]) -> TrialRecord:
        """Train trials until the budget is spent or all of them are done.

        Args:
            train: trains with ``trial.options``, saves the recommender to ``trial.folder`` and returns the validation
                metric. An exception that it raises is the end of the trial, not of the search.

        Returns:
            the best trial.

        Raises:
            ValueError: no trial was completed; names the first one's reason.
        """
        with the_only_search(self.folder):
            check_same_search(self.folder, self._record)
            self.trials = self._saved_trials()
            return self._run(train)

    def _run(self, train: Callable[[Trial], float]) -> TrialRecord:
        self._began, self._spent_before = self._clock(), sum(each.seconds for each in self.trials)
        interrupted = self.trials.pop() if self.trials and self.trials[-1].state == "running" else None
        self._settle()
        if self.trials or interrupted:
            logger.info("going on after %d trials in %s", len(self.trials), self.folder)
        while (ending := self._ending(interrupted)) is None:
            record = interrupted or self._next()
            if interrupted:
                logger.info("trial %d was interrupted and is trained with the same values", record.number)
            self._train(record, train)
            interrupted = None
        logger.info("the search ends: %s", ending)
        best = self.best
        if best is None:
            self._write(ending)
            reason = self.trials[0].reason if self.trials else ending
            raise ValueError(f"no trial was completed; the first one: {reason}")
        self._write(ending)
        return best

    @property
    def best(self) -> TrialRecord | None:
        """The complete trial with the highest metric, the earliest of several; ``None`` without one."""
        complete = [each for each in self.trials if each.state == "complete"]
        return in_order(complete)[0] if complete else None

    def folder_of(self, number: int) -> Path:
        """The folder of a trial.

        Args:
            number: of the trial.
        """
        return self.folder / "trials" / f"{number:04d}"

    def _saved_trials(self) -> list[TrialRecord]:
        folders = sorted(path.parent for path in self.folder.glob(f"trials/*/{RECORD}"))
        trials = sorted((TrialRecord.load(folder) for folder in folders), key=lambda each: each.number)
        if [each.number for each in trials] != list(range(len(trials))):
            raise ValueError(f"{self.folder / 'trials'}: a trial is missing, there are {[t.number for t in trials]}")
        return trials

    def _left(self) -> float | None:
        """Seconds of the budget that are left; ``None`` without a budget."""
        if self.budget is None:
            return None
        return self.budget - self._spent_before - (self._clock() - self._began)

    def _ending(self, interrupted: TrialRecord | None) -> str | None:
        """Why no further trial begins; ``None`` if one does."""
        number = len(self.trials)
        if number >= _MAX_FAILURES and self.best is None:
            return f"none of {number} trials was completed"
        if number >= _MAX_FAILURES and all(each.state == "failed" for each in self.trials[-_MAX_FAILURES:]):
            return f"the last {_MAX_FAILURES} trials have failed, trial {number - 1}: {self.trials[-1].reason}"
        if self.num_trials is not None and number >= self.num_trials:
            return f"all {number} trials are done"
        left = self._left()
        if left is None or number == 0:
            return None
        if left <= 0:
            return f"the budget of {spoken(self.budget or 0)} is spent"
        complete = [each.seconds for each in self.trials if each.state == "complete"]
        expected = sum(complete) / len(complete) if complete else 0.0
        expected -= interrupted.seconds if interrupted else 0.0
        if expected > left:
            return (
                f"another trial takes about {spoken(expected)}, and {spoken(left)} of the budget of "
                f"{spoken(self.budget or 0)} are left"
            )
        return None

    def _next(self) -> TrialRecord:
        number = len(self.trials)
        return TrialRecord(number, self._proposals.values(self.trials) if number else {})

    def _train(self, record: TrialRecord, train: Callable[[Trial], float]) -> None:
        folder, before, began = self.folder_of(record.number), record.seconds, self._clock()
        # What trial 0 has learned of its defaults is no choice.
        options = with_values(self.options, record.params if record.number else {})

        def on_check() -> None:
            record.seconds = before + self._clock() - began
            record.save(folder)
            left = self._left()
            if left is not None and left <= 0 and record.number:
                raise TrialStopped("the budget was spent")

        def on_report() -> None:
            share, value = max(record.evaluations.items())
            # At the end there is nothing to save.
            if self._prune and record.number and share < 100 and self._proposals.is_hopeless(self.trials, record):
                raise TrialPruned(f"{self.metric} {value:.4f} after {share} % of the training, below the median")

        values = ", ".join(f"{name} {value}" for name, value in record.params.items()) if record.number else "defaults"
        logger.info("trial %d: %s", record.number, values)
        record.save(folder)
        place, watch = folder / "model", {"on_check": on_check, "on_report": on_report}
        trial = Trial(record, options, place, self.metric, self.space, **watch)
        try:
            record.value = float(train(trial))
            record.state = "complete"
            if record.value != record.value:
                raise ValueError(f"{self.metric} is not a number")
        except Exception as error:
            kinds = {TrialPruned: "pruned", TrialStopped: "stopped"}
            record.state, record.value = kinds.get(type(error), "failed"), None
            record.reason = " ".join(str(error).split()) or type(error).__name__
        record.seconds = before + self._clock() - began
        record.save(folder)
        self.trials.append(record)
        self._settle()
        self._write(None)
        self._log(record)

    def _log(self, record: TrialRecord) -> None:
        if record.state != "complete" or record.value is None:
            log = logger.warning if record.state == "failed" else logger.info
            log("trial %d: %s (%s)", record.number, record.state, record.reason)
            return
        best = self.best
        words = (record.number, self.metric, record.value, spoken(record.seconds))
        mark = "the best so far" if best is record else f"the best is trial {best.number if best else '?'}"
        logger.info("trial %d: %s %.4f in %s, %s", *words, mark)

    def _settle(self) -> None:
        """Keep the recommender of the best trial in ``best``, and no others; may be repeated after an interruption."""
        best = self.best
        for record in self.trials:
            model = self.folder_of(record.number) / "model"
            if not model.exists():
                continue
            if record is best:
                for checkpoint in model.glob("checkpoint-*"):
                    shutil.rmtree(checkpoint)
                shutil.rmtree(self.folder / "best", ignore_errors=True)
                model.rename(self.folder / "best")
            else:
                shutil.rmtree(model)

    def _write(self, ending: str | None) -> None:
        report = trial_report(self._record, self.trials, self.best, budget=self.budget, ending=ending)
        report.save(self.folder / "trials.json")
        write_text(self.folder / "trials.md", trial_table(report))
        best = self.best
        if best is not None:
            options = with_values(self.options, best.params if best.number else {})
            write_text(self.folder / "best.yaml", best_options(options, report, self._heading))
