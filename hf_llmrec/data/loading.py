"""Reads and validates the tables of a dataset; errors name file, row and column."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

logger = logging.getLogger(__name__)

REQUIRED = {
    "interactions": {"user_id": "string", "item_id": "string"},
    "items": {"item_id": "string", "title": "string"},
    "reviews": {"user_id": "string", "item_id": "string", "text": "string", "timestamp": "integer"},
    "intentions": {"user_id": "string", "item_id": "string", "text": "string"},
    "preferences": {"user_id": "string", "text": "string"},
}
OPTIONAL = {
    "interactions": {"timestamp": "integer", "position": "integer", "rating": "number"},
    "items": {"description": "string", "brand": "string", "categories": "string"},
    "intentions": {"timestamp": "integer"},
}
TABLES = tuple(REQUIRED)
NULLABLE = {"title", "description", "brand", "categories", "rating", "text"}
# An intention without a user is about the item alone, such as one that was written from its description.
NULLABLE_IN = {"intentions": {"user_id"}}


ARROW_TYPES = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64()}


@dataclass(frozen=True)
class TableSource:
    """Origin of a table, for error messages.

    Attributes:
        name: a file, a folder of files, or a Hub id and configuration.
        parts: file and number of rows of each part, if the table was read from several files.
    """

    name: str
    parts: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        return self.name

    def at(self, row: int) -> str:
        """Location of a row as ``FILE: row NUMBER``, where rows count from 0 within their file.

        Args:
            row: number of the row in the table, from 0.
        """
        for file, count in self.parts:
            if row < count:
                return f"{file}: row {row}"
            row -= count
        return f"{self.name}: row {row}"


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return "string"
    if pa.types.is_integer(type_):
        return "integer"
    if pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return "number"
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return "list"
    return str(type_)


def check_table(table: pa.Table, name: str, source: str) -> pa.Table:
    """Validate columns, types, nulls and encoding of a table.

    Args:
        table: the table.
        name: name of the table, a key of `REQUIRED`.
        source: origin of the table for error messages, usually the file.

    Returns:
        the columns of the dataset layout, as string, int64 or float64. Lists of categories are joined to one text, and
        dates and times become timestamps in microseconds.

    Raises:
        ValueError: a column is missing or a value is invalid. The message names the source, the column and, for values,
            the first bad row (0-based).
    """
    columns = {**REQUIRED[name], **OPTIONAL.get(name, {})}
    missing = [column for column in REQUIRED[name] if column not in table.column_names]
    if missing:
        raise ValueError(f"{source}: missing column {missing[0]!r} (has {table.column_names})")
    checked: dict[str, pa.ChunkedArray] = {}
    nullable = NULLABLE | NULLABLE_IN.get(name, set())
    for column, expected in columns.items():
        if column not in table.column_names:
            continue
        values = table.column(column)
        kind = _kind(values.type)
        is_time = column == "timestamp" and pa.types.is_temporal(values.type) and not pa.types.is_time(values.type)
        joined_list = column == "categories" and kind == "list" and _kind(values.type.value_type) == "string"
        if kind != expected and not (expected == "number" and kind == "integer") and not joined_list and not is_time:
            if not (pa.types.is_null(values.type) and (column in nullable or not len(values))):
                raise ValueError(f"{source}: column {column!r} must be {expected}, is {values.type}")
        if values.null_count and column not in nullable:
            row = pc.index(values.is_null(), True).as_py()
            raise ValueError(f"{source}: row {row}: column {column!r} is null")
        if is_time:
            checked[column] = _naive(values, source)
            continue
        if joined_list:
            values = values.cast(pa.list_(pa.binary()))  # decoded one by one below
        elif kind == "string":
            _check_utf8(values, column, source)
        checked[column] = _convert(values, column, expected, joined_list, source)
    unused = [column for column in table.column_names if column not in columns]
    if unused:
        logger.warning("%s: columns that are not of the layout are left out: %s", source, ", ".join(unused))
    return pa.table(checked)


def _naive(values: pa.ChunkedArray, source: str) -> pa.ChunkedArray:
    """Dates and times as microseconds since 1970 in UTC."""
    try:
        return values.cast(pa.timestamp("us", tz="UTC"), safe=False).cast(pa.timestamp("us"))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"{source}: column 'timestamp' is {values.type}: {error}") from error


def _convert(values: pa.ChunkedArray, column: str, expected: str, joined_list: bool, source: str) -> pa.ChunkedArray:
    """Convert all variants of a type to the same one, so that the files of a table can be concatenated."""
    if joined_list:
        return _join_lists(values, column, source)
    try:
        return values.cast(ARROW_TYPES[expected])
    except pa.ArrowInvalid as error:  # an unsigned integer beyond int64
        for row, value in enumerate(values.to_pylist()):
            if expected == "integer" and value is not None and not -(2**63) <= value < 2**63:
                raise ValueError(f"{source}: row {row}: column {column!r}: {value} is beyond 64 bits") from error
        raise ValueError(f"{source}: column {column!r}: {error}") from error


def _join_lists(values: pa.ChunkedArray, column: str, source: str) -> pa.ChunkedArray:
    """Join each list of categories to one text; null stays null."""
    texts: list[str | None] = []
    for row, parts in enumerate(values.to_pylist()):
        try:
            texts.append(None if parts is None else " > ".join(part.decode("utf-8") for part in parts if part))
        except UnicodeDecodeError as error:
            raise ValueError(f"{source}: row {row}: column {column!r} is not UTF-8") from error
    return pa.chunked_array([pa.array(texts, type=pa.string())])


def _check_utf8(values: pa.ChunkedArray, column: str, source: str) -> None:
    row = 0
    for chunk in values.chunks:
        try:
            chunk.validate(full=True)
        except pa.ArrowInvalid as error:
            raw = chunk.cast(pa.large_binary() if pa.types.is_large_string(chunk.type) else pa.binary())
            for offset, value in enumerate(raw.to_pylist()):
                try:
                    (value or b"").decode("utf-8")
                except UnicodeDecodeError:
                    raise ValueError(f"{source}: row {row + offset}: column {column!r} is not UTF-8") from error
            raise ValueError(f"{source}: column {column!r} is damaged ({error})") from error
        row += len(chunk)


def read_folder(path: Path) -> dict[str, tuple[pa.Table, TableSource]]:
    """Read the tables of a local folder: ``NAME.parquet`` or ``NAME/*.parquet``.

    A text column that some files of a table lack is null in their rows.

    Args:
        path: dataset folder.

    Returns:
        tables and their sources, by name.

    Raises:
        FileNotFoundError: interactions or items are missing.
        ValueError: a file is not Parquet, lacks a numeric column that another file of its table has, or see
            `check_table`.
    """
    tables: dict[str, tuple[pa.Table, TableSource]] = {}
    for name in TABLES:
        single = path / f"{name}.parquet"
        files = [single] if single.is_file() else sorted((path / name).glob("*.parquet"))
        if not files:
            if name in ("interactions", "items"):
                raise FileNotFoundError(f"{path}: no {name}.parquet: a dataset folder needs interactions and items")
            continue
        parts = []
        for file in files:
            try:
                # Not `read_table`, which adds a column "a" for files in a folder named "a=b".
                parts.append(check_table(pq.ParquetFile(file).read(), name, str(file)))
            except (pa.ArrowInvalid, OSError) as error:
                raise ValueError(f"{file}: not a readable Parquet file ({error})") from error
        for column in {column for part in parts for column in part.column_names} - NULLABLE:
            incomplete = next(
                (file for file, part in zip(files, parts, strict=True) if column not in part.schema.names), None
            )
            if incomplete is not None:
                raise ValueError(f"{incomplete}: no column {column!r}, which other files of {path / name} have")
        rows = tuple((str(file), len(part)) for file, part in zip(files, parts, strict=True))
        source = TableSource(str(files[0])) if len(files) == 1 else TableSource(str(path / name), rows)
        try:
            tables[name] = (pa.concat_tables(parts, promote_options="default"), source)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:  # times are numbers in one file, dates in another
            raise ValueError(f"{source}: its files have columns of different types ({error})") from error
    return tables


def read_hub(hub_id: str, revision: str | None = None) -> dict[str, tuple[pa.Table, TableSource]]:
    """Read the tables of a Hub dataset that has one configuration per table.

    Args:
        hub_id: id of the dataset.
        revision: branch, tag or commit; ``None``: the main branch.

    Returns:
        tables and their sources, by name.

    Raises:
        ValueError: a configuration is missing, or see `check_table`.
    """
    from datasets import concatenate_datasets, get_dataset_config_names, load_dataset

    names = get_dataset_config_names(hub_id, revision=revision)
    tables: dict[str, tuple[pa.Table, TableSource]] = {}
    for name in TABLES:
        if name not in names:
            if name in ("interactions", "items"):
                raise ValueError(f"dataset {hub_id}: no configuration {name!r} (has {names})")
            continue
        splits = load_dataset(hub_id, name, revision=revision)
        tables[name] = (
            arrow_table(concatenate_datasets(list(splits.values())), name, f"{hub_id}:{name}"),
            TableSource(f"{hub_id}:{name}"),
        )
    return tables


def arrow_table(value: Any, name: str, source: str) -> pa.Table:
    """Convert a table of any supported type to a checked pyarrow table.

    Args:
        value: a `datasets.Dataset` or `IterableDataset` (or a dictionary with a single split of these), a pyarrow
            table, a pandas frame, a dictionary of columns, or a list of records (dictionaries).
        name: name of the table, a key of `REQUIRED`.
        source: origin of the table for error messages.

    Raises:
        TypeError: another type.
        ValueError: columns have different lengths or mixed types, or see `check_table`.
    """
    from datasets import Dataset, IterableDataset
    from pandas import DataFrame

    if isinstance(value, dict) and value and all(isinstance(v, (Dataset, IterableDataset)) for v in value.values()):
        if len(value) > 1:
            raise ValueError(f"{source}: a dictionary of the splits {list(value)}: choose one, or concatenate them")
        value = next(iter(value.values()))
    try:
        if isinstance(value, Dataset):
            table = value.with_format("arrow")[:]
        elif isinstance(value, IterableDataset):
            table = _records(list(value), source)
        elif isinstance(value, pa.Table):
            table = value
        elif isinstance(value, dict):
            table = pa.table(value)
        elif isinstance(value, (list, tuple)):
            table = _records(value, source)
        elif isinstance(value, DataFrame):
            table = pa.Table.from_pandas(value, preserve_index=False)
        else:
            raise TypeError(
                f"{source}: cannot read a {type(value).__name__}: give a datasets.Dataset, a pyarrow table, a pandas "
                "frame, a dictionary of columns or a list of records"
            )
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"{source}: not a table ({error})") from error
    return check_table(table, name, source)


def _records(rows: Sequence[Any], source: str) -> pa.Table:
    """Convert records to a table with the union of their columns; missing values are null."""
    wrong = next((row for row, record in enumerate(rows) if not isinstance(record, Mapping)), None)
    if wrong is not None:
        raise TypeError(f"{source}: row {wrong} is a {type(rows[wrong]).__name__}, not a record (a dictionary)")
    columns = list(dict.fromkeys(column for record in rows for column in record))
    return pa.table({column: [record.get(column) for record in rows] for column in columns})


def read_tables(
    path_or_hub_id: str | os.PathLike, revision: str | None = None
) -> dict[str, tuple[pa.Table, TableSource]]:
    """Read the tables of a local folder if it exists, otherwise of a Hub dataset.

    Args:
        path_or_hub_id: dataset folder, or id of a Hub dataset.
        revision: branch, tag or commit of the Hub dataset; ``None``: its main branch.

    Returns:
        tables and their sources, by name.

    Raises:
        FileNotFoundError: there is no such folder, or a table is missing.
        ValueError: invalid content, see `check_table`.
    """
    path = Path(path_or_hub_id)
    if path.is_dir():
        return read_folder(path)
    text = str(path_or_hub_id)
    if path.is_absolute() or text.startswith((".", "~")) or text.count("/") > 1:
        raise FileNotFoundError(f"{path}: no such dataset folder")
    return read_hub(text, revision)
