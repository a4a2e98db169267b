"""Reads the JSON files that LC-Rec, LETTER and repositories after them publish: sequences, items and their index."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..data.dataset_writing import save_tables
from ..data.files import read_json, staged
from ..data.item_index import ItemIndex
from .lines import check_row
from .text import clean_name, identifier, joined, plain

_KINDS = ("inter", "item", "index")


@dataclass(frozen=True)
class LCRecFiles:
    """The files of one data set.

    Attributes:
        inter: ``NAME.inter.json``: ``{user id: [item id, ...]}``, oldest first.
        item: ``NAME.item.json``: ``{item id: {"title", "description", "brand", "categories"}}``.
        index: ``NAME.index.json``, see `ItemIndex.from_json`; ``None``: there is none.
    """

    inter: Path
    item: Path
    index: Path | None

    @classmethod
    def find(cls, inputs: Sequence[str | os.PathLike]) -> LCRecFiles:
        """Find the files by their names, of which ``.index`` may be followed by more, as in ``A.index.rq-kmeans.json``.

        Args:
            inputs: files, or folders of files.

        Raises:
            FileNotFoundError: an input does not exist, or there is no ``.inter.json`` or ``.item.json``.
            ValueError: there are several files of a kind.
        """
        files: dict[str, list[Path]] = {kind: [] for kind in _KINDS}
        for path in map(Path, inputs):
            if not path.exists():
                raise FileNotFoundError(f"{path}: there is no such file or folder")
            for file in sorted(path.iterdir()) if path.is_dir() else [path]:
                parts = file.name.split(".")
                for kind in _KINDS if parts[-1] == "json" else ():
                    if kind in parts[1:-1] and (kind == "index" or parts[-2] == kind):
                        files[kind].append(file)
                        break
        for kind, found in files.items():
            if not found and kind != "index":
                raise FileNotFoundError(f"{', '.join(map(str, inputs))}: no .{kind}.json there")
            if len(found) > 1:
                names = ", ".join(file.name for file in found)
                raise ValueError(f"several files of the kind .{kind}.json: {names}; name the files of one data set")
        return cls(files["inter"][0], files["item"][0], files["index"][0] if files["index"] else None)


@dataclass(frozen=True)
class LCRecData:
    """The content of the files.

    Attributes:
        tables: ``interactions`` with ``position``, and ``items`` with the texts that there are.
        index: the items' codes, in the order of ``items``, which may collide; ``None``: there is no such file.
        repeats: number of interactions of a user with an item after the first of them that were left out.
        unused_fields: names of fields of items that a dataset folder has no column for.
    """

    tables: dict[str, pa.Table]
    index: ItemIndex | None
    repeats: int
    unused_fields: tuple[str, ...]

    def __str__(self) -> str:
        log, items = self.tables["interactions"], self.tables["items"]
        used = len(log.column("item_id").unique())
        lines = [f"{len(log.column('user_id').unique())} users, {len(items)} items, {len(log)} interactions"]
        for column in items.column_names[1:]:
            lines.append(f"  {column + ':':<14}{sum(map(bool, items.column(column).to_pylist()))} items")
        if used < len(items):
            lines.append(f"{len(items) - used} items without an interaction")
        if self.repeats:
            lines.append(f"{self.repeats} repeated interactions left out, as asked for")
        if self.unused_fields:
            lines.append(f"fields of items that are not used: {', '.join(self.unused_fields)}")
        return "\n".join(lines)

    def save(self, folder: str | os.PathLike, name: str | None = None) -> None:
        """Write a dataset folder: Parquet tables and a card.

        Args:
            folder: dataset folder to write.
            name: name of the data set in its card; ``None``: the name of the folder.

        Raises:
            FileExistsError: the folder holds a data set already.
        """
        path = Path(folder)
        if (path / "interactions.parquet").exists():
            raise FileExistsError(f"{path} holds a data set already: choose another folder, or remove it")
        summary = (
            "Converted by hf_llmrec from files in the JSON format of LC-Rec and LETTER. The terms of use are those of "
            f"their publisher.\n\n```\n{self}\n```"
        )
        with staged(path) as staging:
            save_tables(staging, self.tables, name or path.resolve().name, summary)


def read_lcrec(files: LCRecFiles, *, drop_repeats: bool = False) -> LCRecData:
    """Read and check the files.

    Args:
        files: the files, see `LCRecFiles.find`.
        drop_repeats: keep the first interaction of a user with an item only. Without, sequences stay as published, and
            so does what is held out of them.

    Raises:
        ValueError: a file is malformed, or the files do not belong together. The message names the file and the key.
    """
    items, unused = _items(files.item)
    index = None if files.index is None else _index(files.index, files.item, items.column("item_id").to_pylist())
    known = set(items.column("item_id").to_pylist())
    users: list[str] = []
    chosen: list[str] = []
    repeats = 0
    for user, sequence in _object(files.inter, "user id").items():
        place = f"{files.inter}: user {user!r}"
        if not isinstance(sequence, list):
            raise ValueError(f"{place}: expected a list of item ids, got {sequence!r:.80}")
        ids = [_id(item, place) for item in sequence]
        for item in ids:
            if item not in known:
                raise ValueError(f"{place}: item {item!r} is not in {files.item.name}")
        kept = list(dict.fromkeys(ids)) if drop_repeats else ids
        repeats += len(ids) - len(kept)
        users += [_id(user, place)] * len(kept)
        chosen += kept
    if not users:
        raise ValueError(f"{files.inter}: holds no interaction")
    columns = {"user_id": pa.array(users, pa.string()), "item_id": pa.array(chosen, pa.string())}
    log = pa.table({**columns, "position": pa.array(np.arange(len(users), dtype=np.int64))})
    return LCRecData({"interactions": log, "items": items}, index, repeats, unused)


def _object(path: Path, key: str) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict) or not value:
        raise ValueError(f"{path}: expected a JSON object with an entry per {key}")
    return value


def _id(value: Any, place: str) -> str:
    try:
        text = identifier(value)
        check_row((text,))
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    return text


def _items(path: Path) -> tuple[pa.Table, tuple[str, ...]]:
    """The table of the items, in the order of the file, and the fields that it has no column for."""
    read = {"title": clean_name, "description": plain, "brand": clean_name, "categories": _categories}
    columns: dict[str, list[str]] = {name: [] for name in ("item_id", *read)}
    unused: dict[str, None] = {}
    for item, fields in _object(path, "item id").items():
        place = f"{path}: item {item!r}"
        if not isinstance(fields, dict):
            raise ValueError(f"{place}: expected an object with `title` and other texts, got {fields!r:.80}")
        columns["item_id"].append(_id(item, place))
        for name, clean in read.items():
            value = fields.get(name)
            texts = value if isinstance(value, list) else [value]
            if not all(text is None or isinstance(text, str) for text in texts):
                raise ValueError(f"{place}: {name!r} must be text or a list of texts, is {value!r:.80}")
            try:
                columns[name].append(clean([text for text in texts if text]))
                check_row((columns[name][-1],))
            except ValueError as error:
                raise ValueError(f"{place}: {name!r}: {error}") from None
        unused |= dict.fromkeys(name for name in fields if name not in read)
    if len(set(columns["item_id"])) < len(columns["item_id"]):
        twice = next(item for item in columns["item_id"] if columns["item_id"].count(item) > 1)
        raise ValueError(f"{path}: item {twice!r} occurs twice")
    kept = {name: values for name, values in columns.items() if name in ("item_id", "title") or any(values)}
    return pa.table({name: pa.array(values, pa.string()) for name, values in kept.items()}), tuple(unused)


def _categories(texts: list[str]) -> str:
    return joined(texts)


def _index(path: Path, item_path: Path, item_ids: list[str]) -> ItemIndex:
    """The index of the items, in their order."""
    index = ItemIndex.from_json(path)
    row = {item.strip(): number for number, item in enumerate(index.item_ids)}
    missing = [item for item in item_ids if item not in row]
    if missing:
        raise ValueError(f"{path}: no index of item {missing[0]!r} of {item_path.name} ({len(missing)} are missing)")
    more = sorted(set(row) - set(item_ids))
    if more:
        raise ValueError(f"{path}: item {more[0]!r} is not in {item_path.name} ({len(more)} are not)")
    # The path of this machine is no part of what is saved and published.
    metadata = {**index.metadata, "source": path.name}
    return ItemIndex(item_ids, index.codes[[row[item] for item in item_ids]], index.codebook_sizes, None, metadata)
