"""Options of ``compare``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .case_options import CaseArguments

# Added to the name of a model in the row for which the times of requests are known.
TIMED = " + time"


@dataclass
class CompareArguments(CaseArguments):
    """Which models to compare. The other parameters are those of [`CaseArguments`].

    Args:
        models: recommender folders, Hub ids, ``popularity``, or files of predictions (see `PredictedRankings`), one or
            more. The others are compared with the first one. Required.
        names: their names in the tables, all different; default: the last part of each path.
        output: folder for ``comparison.json``, ``comparison.md``, ``comparison.png`` and every user's ranks. Required.
        bootstrap_samples: number of bootstrap samples for the 95 % intervals, at least 100.
    """

    models: list[str] = field(
        default_factory=list, metadata={"help": "recommender folders, Hub ids, `popularity`, files of predictions"}
    )
    names: list[str] = field(default_factory=list, metadata={"help": "names in the tables (default: from the paths)"})
    output: str = field(default="", metadata={"help": "folder for the tables, the plot and every user's ranks"})
    bootstrap_samples: int = field(default=10_000, metadata={"help": "bootstrap samples for the 95 %% intervals"})

    def __post_init__(self):
        if not self.models or not self.output:
            raise ValueError("--models (one or more) and --output are required")
        super().__post_init__()
        if self.bootstrap_samples < 100:
            raise ValueError(f"--bootstrap_samples must be at least 100, got {self.bootstrap_samples}")
        if not self.names:
            self.names = [Path(model).name for model in self.models]
        if self.request_times and any(name.endswith(TIMED) for name in self.names):
            raise ValueError(f"--names must not end in {TIMED!r}: rows with the times of requests do")
        if len(self.names) != len(self.models) or len(set(self.names)) != len(self.names):
            raise ValueError(f"--names must give each of the {len(self.models)} models one of its own: {self.names}")
