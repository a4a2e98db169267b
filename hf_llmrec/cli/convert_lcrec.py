"""``convert lcrec``: JSON files of LC-Rec, LETTER and similar repositories -> a dataset folder and an item index."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .list_options import ListOptions

if TYPE_CHECKING:  # importing them takes longer than --help may
    import pyarrow as pa

    from ..data.item_index import ItemIndex

_METHODS = ("last_code", "level")
_TEXT = """NAME.inter.json, NAME.item.json and NAME.index.json, as LC-Rec, LETTER and repositories after them publish
them -> a dataset folder and an item index for `train lcrec`. Sequences stay as published, without times."""


def parser() -> argparse.ArgumentParser:
    """The command's argument parser."""
    options = ListOptions(prog="hf-llmrec convert lcrec", description=_TEXT)
    options.add_argument(
        "--input", nargs="+", required=True, metavar="PATH", help="the files, or a folder with one file of each kind"
    )
    options.add_argument("--output_dir", required=True, help="dataset folder")
    options.add_argument("--index_dir", help="folder of the item index (default: OUTPUT_DIR/index)")
    options.add_argument(
        "--resolve_collisions",
        choices=_METHODS,
        help="what to do with items that share an index: another last code by their texts, or a further level for all "
        "items (default: refuse such an index)",
    )
    options.add_argument(
        "--drop_repeats", action="store_true", help="keep the first interaction of a user with an item"
    )
    options.add_argument("--name", help="name of the data set, for its card (default: the folder's)")
    return options


def main(argv: list[str]) -> int:
    """Run ``convert lcrec`` with these words; returns the exit status."""
    arguments = parser().parse_args(argv)
    from ..converters.lcrec import LCRecFiles, read_lcrec
    from ..data.item_index import INDEX_FILE
    from ..indexing.report import format_report

    files = LCRecFiles.find(arguments.input)
    data = read_lcrec(files, drop_repeats=arguments.drop_repeats)
    index = data.index
    index_dir = Path(arguments.index_dir or Path(arguments.output_dir) / "index")
    if index is None:
        for name in ("index_dir", "resolve_collisions"):
            if getattr(arguments, name):
                raise ValueError(f"--{name} is about the index, and there is no .index.json among the files")
    elif (index_dir / INDEX_FILE).exists():
        raise FileExistsError(f"{index_dir} holds an index already: choose another --index_dir, or remove it")
    elif not index.is_unique:
        index = _unique(index, data.tables["items"], str(files.index), arguments.resolve_collisions)
    data.save(arguments.output_dir, arguments.name)
    print(data)
    if index is not None:
        index.save_pretrained(index_dir)
        print(format_report(index.report()))
        print(f"{arguments.output_dir} and {index_dir}")
    else:
        print(f"{arguments.output_dir}; no .index.json: make an index with build-index")
    return 0


def _unique(index: ItemIndex, items: pa.Table, source: str, method: str | None) -> ItemIndex:
    """The index without collisions; an error that names the first ones if there is no method to resolve them."""
    from ..indexing.collisions import repeated_rows, resolve_collisions
    from ..indexing.text_embeddings import embed_items

    moved = repeated_rows(index.codes)
    if method is None:
        shown = "; ".join(f"{index.item_ids[row]!r}: {' '.join(index.item_tokens(row))}" for row in moved[:5])
        raise ValueError(
            f"{source}: {index.collisions()} items share their index with another, so that generating codes does not "
            f"name an item ({shown}). --resolve_collisions last_code gives {len(moved)} of them another last code, "
            "--resolve_collisions level gives all items a further one"
        )
    columns = [items.column(name).to_pylist() for name in items.column_names[1:]]
    texts = [". ".join(filter(None, parts)) for parts in zip(*columns, strict=True)]
    vectors = embed_items(texts)
    print(f"{index.collisions()} items share their index with another: resolved by --resolve_collisions {method}")
    for row in moved:
        print(f"  {index.item_ids[row]!r} had {' '.join(index.item_tokens(row))}, as an earlier item has")
    return resolve_collisions(index, vectors, method)
