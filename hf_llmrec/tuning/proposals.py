"""What to try next, and which trial to give up: Optuna's samplers and pruners on the records of trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .space import SearchSpace
from .trials import TrialRecord

# Trials with random values before the sampler learns from results, and complete trials before one is pruned.
_RANDOM_TRIALS = 6
_PRUNE_AFTER = 4
# Percentage of a training's steps before which no trial is pruned.
_PRUNE_FROM = 20


class Proposals:
    """Proposes values with Optuna's TPE sampler, and prunes with its median pruner.

    Both read the records of the trials alone, and what is random follows from the seed and the number of the trial: a
    search that was interrupted proposes what an uninterrupted one does.

    Args:
        space: what is varied.
        seed: of the sampler.

    Raises:
        ModuleNotFoundError: Optuna is not installed.
    """

    def __init__(self, space: SearchSpace, seed: int = 0):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._space, self._seed = optuna, space, seed
        self._distributions = {name: entry.distribution() for name, entry in space.items()}

    def values(self, trials: Sequence[TrialRecord]) -> dict[str, Any]:
        """Values of the next trial.

        Args:
            trials: all that are finished, in the order of their numbers.
        """
        state = np.random.SeedSequence([self._seed, len(trials)]).generate_state(1)
        sampler = self._optuna.samplers.TPESampler(n_startup_trials=_RANDOM_TRIALS, seed=int(state[0]))
        trial = self._study(trials, sampler=sampler).ask(self._distributions)
        return {name: entry.sampled(trial.params[name]) for name, entry in self._space.items()}

    def is_hopeless(self, trials: Sequence[TrialRecord], running: TrialRecord) -> bool:
        """Whether a trial's best evaluation is below the median of the others at the same part of their training.

        Args:
            trials: all that are finished.
            running: the trial that is trained.
        """
        pruner = self._optuna.pruners.MedianPruner(_PRUNE_AFTER, _PRUNE_FROM)
        study = self._study(trials, sampler=self._optuna.samplers.RandomSampler(0), pruner=pruner)
        trial = study.ask()
        for share, value in sorted(running.evaluations.items()):
            trial.report(value, share)
        return trial.should_prune()

    def _study(self, trials: Sequence[TrialRecord], **parts: Any) -> Any:
        study = self._optuna.create_study(direction="maximize", **parts)
        study.add_trials([self._frozen(each) for each in trials])
        return study

    def _frozen(self, record: TrialRecord) -> Any:
        states = self._optuna.trial.TrialState
        state = {"complete": states.COMPLETE, "pruned": states.PRUNED}.get(record.state, states.FAIL)
        # Defaults outside of the space are left out: the sampler knows its ranges only.
        given = {name: self._space[name].stored(value) for name, value in record.params.items() if name in self._space}
        params = {name: value for name, value in given.items() if value is not None}
        return self._optuna.trial.create_trial(
            state=state,
            value=record.value if state == states.COMPLETE else None,
            params=params,
            distributions={name: self._distributions[name] for name in params},
            intermediate_values=dict(sorted(record.evaluations.items())),
        )
