"""`ItemIndex`: the codes of each item, and their file formats (arXiv 2311.09049, section 3.2)."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from transformers.utils.hub import cached_file

from .files import read_json, staged, write_json
from .fingerprints import DataFingerprint, catalog_fingerprint
from .index_edits import place_items
from .index_statistics import code_statistics, count_collisions

logger = logging.getLogger(__name__)

INDEX_FILE = "item_index.json"
TENSORS_FILE = "item_index.safetensors"
_LARGEST_CODE = 2**20 - 1  # more codes per level are an error in the file, not a vocabulary
_TOKEN = re.compile(r"^<([a-z])_(\d+)>$")


def index_token(level: int, code: int) -> str:
    """The token of a code: ``index_token(0, 12) == "<a_12>"``.

    Args:
        level: level of the code, 0 to 25.
        code: number of the code, from 0.

    Raises:
        ValueError: the level is out of range.
    """
    if not 0 <= level < 26:
        raise ValueError(f"level must lie in 0..25, got {level}")
    return f"<{chr(ord('a') + level)}_{code}>"


@dataclass(eq=False)
class ItemIndex:
    """The codes of all items of a catalogue.

    Args:
        item_ids: ids of the items, in row order.
        codes: int32 (num_items, levels), codes of each item.
        codebook_sizes: number of codes per level.
        codebooks: per level float32 (size, dim), the codewords; ``None``: not available (the index was read from JSON).
        metadata: how the index was built, with statistics of the construction (JSON values).

    Raises:
        ValueError: shapes do not match, a code lies outside its codebook, or an item id occurs twice.
    """

    item_ids: list[str]
    codes: np.ndarray
    codebook_sizes: tuple[int, ...]
    codebooks: list[np.ndarray] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        self.item_ids = list(self.item_ids)
        self.codes = np.ascontiguousarray(self.codes, dtype=np.int32)
        self.codebook_sizes = tuple(int(size) for size in self.codebook_sizes)
        if self.codes.ndim != 2 or self.codes.shape != (len(self.item_ids), len(self.codebook_sizes)):
            raise ValueError(
                f"codes must be ({len(self.item_ids)} items, {len(self.codebook_sizes)} levels), got {self.codes.shape}"
            )
        if len(set(self.item_ids)) != len(self.item_ids):
            seen: set[str] = set()
            twice = next(item for item in self.item_ids if item in seen or seen.add(item))
            raise ValueError(f"item id {twice!r} occurs more than once in the index")
        for level, size in enumerate(self.codebook_sizes):
            column = self.codes[:, level]
            if len(column) and (column.min() < 0 or column.max() >= size):
                row = int(np.flatnonzero((column < 0) | (column >= size))[0])
                raise ValueError(
                    f"item {self.item_ids[row]!r}: code {int(column[row])} of level {level} lies outside 0..{size - 1}"
                )
        if self.codebooks is not None:
            self.codebooks = [np.asarray(book, dtype=np.float32) for book in self.codebooks]
            for level, (book, size) in enumerate(zip(self.codebooks, self.codebook_sizes, strict=True)):
                if book.ndim != 2 or len(book) != size:
                    raise ValueError(f"codebook of level {level} must be ({size}, dim), got {book.shape}")

    @property
    def num_items(self) -> int:
        return len(self.item_ids)

    @property
    def levels(self) -> int:
        return len(self.codebook_sizes)

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of the item ids in order, see `catalog_fingerprint`."""
        return catalog_fingerprint(self.item_ids)

    @property
    def is_collaborative(self) -> bool:
        """Whether the codes were built from collaborative vectors, too."""
        return "collaborative_neighbour_preservation" in self.metadata.get("build", {})

    @property
    def data_fingerprint(self) -> DataFingerprint:
        """Fingerprint of the catalogue and, if collaborative vectors were used, of the data they were fitted on."""
        fitted_on = self.metadata.get("fitted_on")
        if fitted_on is None:
            return DataFingerprint(self.fingerprint)
        recorded = DataFingerprint.from_dict(fitted_on, "item index")
        return replace(recorded, catalogue=self.fingerprint)  # items may have been added or removed

    def tokens(self) -> list[str]:
        """All index tokens, level by level, code by code."""
        return [index_token(level, code) for level, size in enumerate(self.codebook_sizes) for code in range(size)]

    def item_tokens(self, row: int) -> list[str]:
        """The tokens of one item, first level first.

        Args:
            row: row of the item.
        """
        return [index_token(level, int(code)) for level, code in enumerate(self.codes[row])]

    def collisions(self) -> int:
        """Number of items that share all their codes with another item."""
        return count_collisions(self.codes)

    @property
    def is_unique(self) -> bool:
        """Whether no two items have the same codes."""
        return self.collisions() == 0

    def report(self) -> dict[str, Any]:
        """Statistics of the codes, together with those of the construction if ``metadata["build"]`` has them.

        Returns:
            ``num_items``, ``codebook_sizes`` and ``collisions``; per level ``codes_used``, ``entropy_bits``,
            ``prefixes`` (distinct), ``fan_out_mean`` and ``fan_out_max`` (children per prefix of the level above); and
            the entries of ``metadata["build"]``.
        """
        return {**code_statistics(self.codes, self.codebook_sizes), **self.metadata.get("build", {})}

    # -- edits --------------------------------------------------------------------------------------------------------

    def add_items(self, item_ids: Sequence[str], embeddings: np.ndarray, known_embeddings: np.ndarray) -> ItemIndex:
        """An index with new items appended, each with free codes close to its text. Existing codes do not change.

        Nothing is trained: a language model that was trained with the index can recommend the new items at once.

        Args:
            item_ids: m ids that are not in the index.
            embeddings: float (m, d), text embeddings of the new items.
            known_embeddings: float (num_items, d), text embeddings of the items in the index, in row order and from the
                same encoder.

        Raises:
            ValueError: an id is in the index already, shapes do not match, a value is not finite, or there is no free
                code.
        """
        item_ids = list(item_ids)
        duplicates = sorted(set(item_ids) & set(self.item_ids))
        if duplicates:
            raise ValueError(f"item {duplicates[0]!r} is in the index already")
        new, old = (np.asarray(vectors, dtype=np.float32) for vectors in (embeddings, known_embeddings))
        for name, vectors, count in (("embeddings", new, len(item_ids)), ("known_embeddings", old, self.num_items)):
            if vectors.ndim != 2 or len(vectors) != count or vectors.shape[1] != old.shape[-1]:
                raise ValueError(f"{name} must be ({count} items, {old.shape[-1]}), got {vectors.shape}")
            if not np.isfinite(vectors).all():
                raise ValueError(f"{name} hold values that are not finite")
        if not self.num_items:
            raise ValueError("the index has no item that a new one could be near to: build it with build_index")
        codes = np.concatenate([self.codes, place_items(self.codes, self.codebook_sizes, old, new)])
        return ItemIndex(self.item_ids + item_ids, codes, self.codebook_sizes, self.codebooks, dict(self.metadata))

    def remove_items(self, item_ids: Sequence[str]) -> ItemIndex:
        """An index without some items; the others keep their codes and their order.

        Args:
            item_ids: ids of the items to remove.

        Raises:
            ValueError: an id is not in the index.
        """
        removed = set(item_ids)
        unknown = sorted(removed - set(self.item_ids))
        if unknown:
            raise ValueError(f"item {unknown[0]!r} is not in the index")
        rows = [row for row, item in enumerate(self.item_ids) if item not in removed]
        remaining = [self.item_ids[row] for row in rows]
        return ItemIndex(remaining, self.codes[rows], self.codebook_sizes, self.codebooks, dict(self.metadata))

    # -- files --------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """JSON form without the codewords, sufficient to encode and decode items."""
        return {
            "item_ids": self.item_ids,
            "codes": self.codes.tolist(),
            "codebook_sizes": list(self.codebook_sizes),
            "catalog_fingerprint": self.fingerprint,
            "metadata": self.metadata,
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any], source: str = "item index") -> ItemIndex:
        """Inverse of `to_dict`.

        Args:
            value: a JSON object.
            source: file or folder that error messages name.

        Raises:
            ValueError: not an item index, or its ids do not match the recorded fingerprint.
        """
        try:
            item_ids, sizes = value["item_ids"], value["codebook_sizes"]
            codes = np.asarray(value["codes"], dtype=np.int32).reshape(len(item_ids), len(sizes))
            index = cls(item_ids, codes, sizes, None, value.get("metadata", {}))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{source}: not an item index ({error})") from error
        if value.get("catalog_fingerprint") != index.fingerprint:
            raise ValueError(f"{source}: the item ids do not match the recorded catalogue fingerprint")
        return index

    def save_pretrained(self, path: str | os.PathLike) -> None:
        """Write ``item_index.json`` and, if there are codewords, ``item_index.safetensors``; each atomically.

        Args:
            path: folder to write to; created if needed.
        """
        with staged(path) as folder:
            if self.codebooks is not None:
                tensors = {f"codebook.{level}": np.ascontiguousarray(book) for level, book in enumerate(self.codebooks)}
                save_file(tensors, folder / TENSORS_FILE, metadata={"catalog_fingerprint": self.fingerprint})
            write_json(folder / INDEX_FILE, {**self.to_dict(), "has_codebooks": self.codebooks is not None})
        if self.codebooks is None:  # the codewords of an earlier index would be published with this one
            (Path(path) / TENSORS_FILE).unlink(missing_ok=True)

    @classmethod
    def from_pretrained(cls, path_or_hub_id: str | os.PathLike, **hub_kwargs: Any) -> ItemIndex:
        """Read an index that `save_pretrained` wrote, from a folder or a Hub repository.

        Args:
            path_or_hub_id: folder or Hub id.
            **hub_kwargs: options of ``from_pretrained`` such as ``revision`` and ``subfolder``.

        Raises:
            FileNotFoundError: there is no ``item_index.json``.
            ValueError: a file is invalid, or the codewords belong to another index. The message names the file.
        """
        try:
            # None only if its errors are switched off.
            file = cast("str", cached_file(str(path_or_hub_id), INDEX_FILE, **hub_kwargs))
        except OSError as error:
            raise FileNotFoundError(f"{path_or_hub_id} has no {INDEX_FILE}: not an item index ({error})") from error
        value = read_json(file)
        index = cls.from_dict(value, source=file)
        if value.get("has_codebooks"):
            tensors = cast("str", cached_file(str(path_or_hub_id), TENSORS_FILE, **hub_kwargs))
            try:
                books = index._read_codebooks(tensors)
                index = cls(index.item_ids, index.codes, index.codebook_sizes, books, index.metadata)
            except (SafetensorError, ValueError) as error:
                raise ValueError(f"{tensors}: not the codebooks of {file} ({error})") from error
        return index

    def _read_codebooks(self, path: str) -> list[np.ndarray]:
        with safe_open(path, framework="numpy") as file:
            recorded = (file.metadata() or {}).get("catalog_fingerprint")
            if recorded != self.fingerprint:
                raise ValueError("it was saved for another catalogue")
            names = [f"codebook.{level}" for level in range(self.levels)]
            if sorted(file.keys()) != sorted(names):
                raise ValueError(f"expected {names}, got {sorted(file.keys())}")
            return [file.get_tensor(name) for name in names]

    def to_json(self, path: str | os.PathLike) -> None:
        """Write the public ``.index.json`` format: ``{item id: ["<a_1>", "<b_7>", ...]}``.

        Args:
            path: file to write.
        """
        write_json(path, {item: self.item_tokens(row) for row, item in enumerate(self.item_ids)})

    @classmethod
    def from_json(cls, path: str | os.PathLike) -> ItemIndex:
        """Read the public ``.index.json`` format that LC-Rec and LETTER checkpoints use.

        Items with the same codes are accepted and reported (`collisions`, and a warning).

        Args:
            path: file to read.

        Raises:
            ValueError: an entry is malformed. The message names the file and the item.
        """
        value = read_json(path)
        if not isinstance(value, dict) or not value:
            raise ValueError(f"{path}: expected a JSON object from item id to index tokens")
        rows = []
        levels = None
        for item, tokens in value.items():
            if not isinstance(tokens, list) or not tokens or (levels is not None and len(tokens) != levels):
                raise ValueError(f"{path}: item {item!r}: expected {levels or 'some'} index tokens, got {tokens!r}")
            levels = len(tokens)
            codes = []
            for level, token in enumerate(tokens):
                match = _TOKEN.match(token) if isinstance(token, str) else None
                if match is None or ord(match.group(1)) - ord("a") != level:
                    raise ValueError(f"{path}: item {item!r}: {token!r} is not an index token of level {level}")
                codes.append(int(match.group(2)))
                if codes[-1] > _LARGEST_CODE:
                    raise ValueError(f"{path}: item {item!r}: {token!r}: codes go up to {_LARGEST_CODE}")
            rows.append(codes)
        codes = np.array(rows, dtype=np.int32)
        index = cls(list(value), codes, tuple(int(size) + 1 for size in codes.max(axis=0)), None, {"source": str(path)})
        shared = index.collisions()
        index.metadata["collisions_when_read"] = shared
        if shared:
            logger.warning("%s: %d of %d items share their index with another", path, shared, index.num_items)
        return index
