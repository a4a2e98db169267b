"""Raw files -> a dataset folder with its card."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..data.files import staged, write_text
from .lines import RawFile, raw_files
from .notes import ReadingNotes
from .source import Item, Source
from .tables import Log, item_table

_SHOWN_FILES = 6


@dataclass(frozen=True)
class Report:
    """What was converted.

    Attributes:
        num_users, num_items, num_interactions, num_reviews: of the result.
        repeats: interactions left out because user and item were there before.
        bad_lines: lines that could not be read; examples: the first of them.
        without_item: items of which the files say nothing. without_title: items without a title.
        remarks: encodings, units of time and orders that were detected.
        first, last: days of the first and last interaction, ``None`` without times.
    """

    num_users: int
    num_items: int
    num_interactions: int
    num_reviews: int
    repeats: int
    bad_lines: int
    examples: list[str]
    without_item: int
    without_title: int
    remarks: list[str]
    first: str | None = None
    last: str | None = None

    def __str__(self) -> str:
        lines = [
            f"{self.num_users} users, {self.num_items} items, {self.num_interactions} interactions, "
            f"{self.num_reviews} reviews"
        ]
        for count, text in (
            (self.repeats, "repeated interactions left out (--keep_repeats keeps them)"),
            (self.bad_lines, "lines could not be read"),
            (self.without_item, "items of which the files say nothing"),
            (self.without_title, "items without a title"),
        ):
            if count:
                lines.append(f"{count} {text}")
        return "\n".join([*lines, *self.examples, *self.remarks])


def convert(
    source: Source,
    inputs: Sequence[str | os.PathLike],
    output_dir: str | os.PathLike,
    *,
    name: str | None = None,
    keep_repeats: bool = False,
    max_bad_lines: int = 100,
    time_unit: str | None = None,
) -> Report:
    """Write ``interactions.parquet``, ``items.parquet``, where there are texts ``reviews.parquet``, and a card.

    Nothing is written after an error. The same input gives the same bytes.

    Args:
        source: whose files these are. inputs: files, folders or archives of them.
        output_dir: a dataset folder of the package. name: for the card, default: the folder's.
        keep_repeats: keep all interactions of a user with an item, not the first alone.
        max_bad_lines: so many lines that cannot be read are skipped.
        time_unit: of times that are numbers, ``D``, ``s``, ``ms``, ``us`` or ``ns``; ``None``: by their magnitude.

    Raises:
        FileNotFoundError: an input is not there, or no file of them is the source's.
        FileExistsError: there is a data set in ``output_dir``.
        ValueError: too many bad lines, or no interaction.
    """
    logs, about = source.sort(raw_files(inputs))
    if not logs:
        raise FileNotFoundError(f"{', '.join(map(str, inputs))}: no {source.files} there")
    notes = ReadingNotes(max_bad_lines)
    output = Path(output_dir)
    if (output / "interactions.parquet").exists():
        raise FileExistsError(f"{output} holds a data set already: choose another folder, or remove it")
    with staged(output) as folder:
        log = Log(folder / "reviews.parquet", time_unit)
        log.extend(source.log(logs, notes))
        if log.is_empty:
            shown = f": {notes.count} lines cannot be read: {'; '.join(notes.examples)}" if notes.count else ""
            raise ValueError(f"{', '.join(path.name for path in logs)}: the files hold no interaction{shown}")
        table, repeats = log.finish(keep_repeats=keep_repeats)
        if log.unit not in (None, "seconds"):
            notes.remark(f"times came in {log.unit}, and are in seconds now")
        wanted = pc.unique(table.column("item_id")).cast(pa.string())
        items, unknown = item_table(wanted, _all_items(source, source.items_in(logs, about), notes))
        titles = pc.equal(items.column("title"), "")
        report = Report(
            num_users=len(pc.unique(table.column("user_id"))),
            num_items=len(items),
            num_interactions=len(table),
            num_reviews=log.num_reviews,
            repeats=repeats,
            bad_lines=notes.count,
            examples=notes.examples,
            without_item=unknown,
            without_title=int(pc.sum(titles).as_py()),
            remarks=notes.remarks,
            **_days(table),
        )
        for column in ("user_id", "item_id"):
            place = table.column_names.index(column)
            table = table.set_column(place, column, table.column(column).cast(pa.string()))
        pq.write_table(table, folder / "interactions.parquet")
        pq.write_table(items, folder / "items.parquet")
        write_text(folder / "README.md", card(source, report, name or output.resolve().name, logs + about))
    return report


def _all_items(source: Source, paths: Sequence[RawFile], notes: ReadingNotes) -> Iterator[Item]:
    return itertools.chain.from_iterable(source.items(path, notes) for path in paths)


def _days(table: pa.Table) -> dict[str, str]:
    if "timestamp" not in table.column_names:
        return {}
    ends = pc.min_max(table.column("timestamp")).as_py()
    return {
        name: str(np.datetime64(ends[end], "s").astype("datetime64[D]"))
        for name, end in (("first", "min"), ("last", "max"))
    }


def card(source: Source, report: Report, name: str, files: Sequence[RawFile]) -> str:
    """The dataset card, with ``configs`` for the Hub's viewer and for ``load_dataset``."""
    text = resources.files("hf_llmrec").joinpath("converters/card.md.jinja").read_text(encoding="utf-8")
    tables = ["interactions", "items", *(["reviews"] if report.num_reviews else [])]
    names = list(dict.fromkeys(path.name for path in files))
    if len(names) > _SHOWN_FILES:
        names = [*names[:_SHOWN_FILES], f"{len(names) - _SHOWN_FILES} more"]
    page = jinja2.Template(text, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True)
    return page.render(
        source=source,
        report=asdict(report),
        name=name,
        files=names,
        tables=tables,
    )
