"""What a search writes: its trials as JSON and as a table, and the options of the best one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..data.files import write_json
from .trials import STATES, TrialRecord


def in_order(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Trials, the best first: complete ones by their metric, then the others by state.

    Args:
        trials: in any order.
    """

    def key(record: TrialRecord) -> tuple[int, float, int]:
        number = record.value if record.value is not None else max(record.evaluations.values(), default=0.0)
        return STATES.index(record.state), -number, record.number

    return sorted(trials, key=key)


@dataclass(frozen=True)
class SearchReport:
    """The trials of a search.

    Args:
        search: metric, seed, space, options and facts of the search.
        trials: the best first.
        best: number of the best trial; ``None`` without a complete one.
        budget: in seconds; ``None`` without one.
        ending: why the search ended; ``None`` while it goes on.
    """

    search: Mapping[str, Any]
    trials: Sequence[TrialRecord]
    best: int | None
    budget: float | None
    ending: str | None

    @property
    def metric(self) -> str:
        """Name of the validation metric."""
        return self.search["metric"]

    def save(self, path: Path) -> None:
        """Write the report as JSON.

        Args:
            path: of the file.
        """
        facts = {"best": self.best, "budget_s": self.budget, "ended": self.ending}
        write_json(path, {**self.search, **facts, "trials": [each.to_dict() for each in self.trials]})


def trial_report(
    search: Mapping[str, Any],
    trials: Iterable[TrialRecord],
    best: TrialRecord | None,
    *,
    budget: float | None = None,
    ending: str | None = None,
) -> SearchReport:
    """Summarise the trials of a search.

    Args:
        search: metric, seed, space, options and facts of the search.
        trials: in any order.
        best: the best one; ``None`` without a complete one.
        budget: in seconds; ``None`` without one.
        ending: why the search ended; ``None`` while it goes on.
    """
    return SearchReport(search, in_order(trials), best.number if best else None, budget, ending)


def trial_table(report: SearchReport) -> str:
    """The trials as a Markdown table.

    Args:
        report: of the search.
    """
    names = list(report.search["space"])
    head = ["trial", f"validation {report.metric}", "seconds", "state", *(f"`{name}`" for name in names)]
    lines = [_row(head), _row(["---:", "---:", "---:", "---", *["---:"] * len(names)])]
    for record in report.trials:
        number = f"{record.number} (defaults)" if record.number == 0 else str(record.number)
        value = "" if record.value is None else f"{record.value:.4f}"
        values = [_text(record.params.get(name)) for name in names]
        lines.append(_row([number, value, f"{record.seconds:.0f}", record.state, *values]))
    reasons = [f"- trial {each.number}: {each.reason}" for each in report.trials if each.reason]
    parts = ["\n".join(lines), "\n".join(reasons), f"The search ended: {report.ending}." if report.ending else ""]
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def best_options(options: Mapping[str, Any], report: SearchReport, heading: str = "") -> str:
    """The options of the best trial as YAML, with comments.

    Args:
        options: of the best trial.
        report: of the search.
        heading: first line; default: none.
    """
    best = next(each for each in report.trials if each.number == report.best)
    said = f"Trial {best.number} of {len(report.trials)}: validation {report.metric} {best.value:.4f}"
    lines = [*([heading] if heading else []), f"{said} in {best.seconds:.0f} s."]
    text = yaml.safe_dump(dict(options), sort_keys=False, allow_unicode=True) if options else "{}\n"
    return "".join(f"# {line}\n" for line in lines) + text
