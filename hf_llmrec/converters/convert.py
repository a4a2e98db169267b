"""Converts raw files to a dataset folder with a card."""

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
import pyarrow.parquet as pq

from ..data.files import staged, write_text
from .lines import RawFile, raw_files
from .notes import ReadingNotes
from .source import Item, Source
from .tables import Log, item_table

_SHOWN_FILES = 6


@dataclass(frozen=True)
class Report:
    """Summary of a conversion.

    Attributes:
        num_users: number of users in the dataset.
        num_items: number of items in the dataset.
        num_interactions: number of interactions in the dataset.
        num_reviews: number of review texts in the dataset.
        repeats: number of interactions that were left out because an earlier one has the same user and item.
        bad_lines: number of lines that could not be read.
        examples: the first of these lines, with file, line and reason.
        without_item: number of items that no file describes.
        without_title: number of items without a title.
        remarks: encodings, units of time and orders that were detected.
        first: day of the first interaction (ISO); ``None``: the log has no times.
        last: day of the last interaction (ISO); ``None``: the log has no times.
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
    """Write ``interactions.parquet``, ``items.parquet``, ``reviews.parquet`` if there are review texts, and a card.

    Nothing is written if there is an error. Equal inputs give equal bytes.

    Args:
        source: reader of the publisher's format.
        inputs: raw files, or folders or archives of raw files.
        output_dir: dataset folder to write.
        name: name of the dataset in its card; ``None``: the name of the folder.
        keep_repeats: keep all interactions of a user with an item; otherwise only the first.
        max_bad_lines: number of lines that may be unreadable; they are skipped.
        time_unit: unit of numeric times, ``D``, ``s``, ``ms``, ``us`` or ``ns``; ``None``: detected from their
            magnitude.

    Raises:
        FileNotFoundError: an input does not exist, or none of the files belongs to the source.
        FileExistsError: ``output_dir`` holds a data set already.
        ValueError: there are too many bad lines, or no interaction.
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
        item_ids = table.column("item_id").unique().cast(pa.string()).to_pylist()
        items, undescribed = item_table(item_ids, _all_items(source, source.items_in(logs, about), notes))
        report = Report(
            num_users=len(table.column("user_id").unique()),
            num_items=len(items),
            num_interactions=len(table),
            num_reviews=log.num_reviews,
            repeats=repeats,
            bad_lines=notes.count,
            examples=notes.examples,
            without_item=undescribed,
            without_title=items.column("title").to_pylist().count(""),
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
    times = table.column("timestamp").to_numpy()
    return {
        name: str(np.datetime64(int(time), "s").astype("datetime64[D]"))
        for name, time in (("first", times.min()), ("last", times.max()))
    }


def card(source: Source, report: Report, name: str, files: Sequence[RawFile]) -> str:
    """Render the dataset card, with ``configs`` for the Hub's viewer and for ``load_dataset``.

    Args:
        source: reader of the publisher's format, with licence and citation.
        report: summary of the conversion.
        name: name of the dataset.
        files: raw files that were read.
    """
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
