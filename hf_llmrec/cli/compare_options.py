"""Options of ``compare``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .case_options import CaseArguments


@dataclass
class CompareArguments(CaseArguments):
    """Which models; on what, see `CaseArguments`.

    Args:
        models: recommender folders, Hub ids, ``popularity``, or files of predictions, see `PredictedRankings`.
            Differences are to the first.
        names: what they are called in the tables; default: the last part of each path.
        output: folder for ``comparison.json``, ``comparison.md``, ``comparison.png`` and every user's ranks.
        bootstrap_samples: of the 95 % intervals.
    """

    models: list[str] = field(
        default_factory=list, metadata={"help": "recommender folders, Hub ids, `popularity`, files of predictions"}
    )
    names: list[str] | None = field(default=None, metadata={"help": "names in the tables (default: from the paths)"})
    output: str = field(default=None, metadata={"help": "folder for the tables, the plot and every user's ranks"})
    bootstrap_samples: int = field(default=10_000, metadata={"help": "samples of the 95 %% intervals"})

    def __post_init__(self):
        if not self.models or not self.output:
            raise ValueError("--models (one or more) and --output are required")
        super().__post_init__()
        if self.bootstrap_samples < 100:
            raise ValueError(f"--bootstrap_samples must be at least 100, got {self.bootstrap_samples}")
        if self.names is None:
            self.names = [Path(model).name for model in self.models]
        if len(self.names) != len(self.models) or len(set(self.names)) != len(self.names):
            raise ValueError(f"--names must give each of the {len(self.models)} models one of its own: {self.names}")
