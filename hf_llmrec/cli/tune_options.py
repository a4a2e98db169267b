"""Options of ``tune``, beside those of the training command."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from ..evaluation.metrics import METRIC_NAMES
from ..tuning.durations import seconds_of
from .config_file import read_config
from .json_options import json_object
from .option_parser import OptionParser, without_config

METHODS = ("sasrec", "galrec", "lcrec")


@dataclass
class TuneArguments:
    """What to search with, and for how long. All other options are those of the training command, for all trials.

    Args:
        method: ``sasrec``, ``galrec`` or ``lcrec``.
        budget: duration of all trials together, such as ``2h``, ``30m`` or ``1h30m``, or seconds. Default: no limit.
        num_trials: number of trials. Default: no limit.
        space: YAML file of the options that are varied; default: the method's own.
        metric: of validation users, by which trials are compared.
        prune: give up trials that are worse than the median of the others at the same part of the training.
    """

    method: str = field(default="", metadata={"help": "`sasrec`, `galrec` or `lcrec`"})
    budget: str | None = field(
        default=None, metadata={"help": "duration of all trials together: `2h`, `30m`, `1h30m`, or seconds"}
    )
    num_trials: int | None = field(default=None, metadata={"help": "number of trials, the defaults included"})
    space: str | None = field(
        default=None, metadata={"help": "YAML file of the options that are varied (default: the method's own)"}
    )
    metric: str = field(default="ndcg@10", metadata={"help": "of validation users; the more, the better"})
    prune: bool = field(
        default=True, metadata={"help": "give up trials that are worse than the median at the same point"}
    )

    def __post_init__(self):
        if self.method not in METHODS:
            raise ValueError(f"--method must be one of {', '.join(METHODS)}, got {self.method!r}")
        if self.budget is None and self.num_trials is None:
            raise ValueError("--budget or --num_trials is needed: a search has no end of its own")
        if self.budget is not None:
            seconds_of(self.budget, "--budget")
        if self.num_trials is not None and self.num_trials < 1:
            raise ValueError(f"--num_trials must be at least 1, got {self.num_trials}")
        if self.metric not in METRIC_NAMES:
            raise ValueError(f"--metric must be one of {', '.join(METRIC_NAMES)}, got {self.metric!r}")


def given_options(kinds: Sequence[type], words: Iterable[str]) -> dict[str, Any]:
    """The options that a command line and its ``--config`` file set, without defaults and without those of ``tune``.

    Args:
        kinds: dataclasses whose fields are the options.
        words: of the command line, which `OptionParser` accepts.
    """
    rest, path = without_config(list(words))
    given = read_config(path) if path is not None else {}
    parser = OptionParser(tuple(kinds))
    for action in parser._actions:
        action.default, action.required = argparse.SUPPRESS, False
    namespace, _ = parser.parse_known_args(rest)
    for name, value in vars(namespace).items():
        is_object = isinstance(value, str) and value.lstrip().startswith("{")
        given[name] = json_object(name, value) if is_object else value
    own = {each.name for each in fields(TuneArguments)}
    return {name: value for name, value in given.items() if name not in own}
