"""Saves generated texts as tables of a dataset folder and documents their origin in its card."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import DatasetCard

from ..data.files import staged
from ..data.interactions import RecDataset
from ..data.loading import TABLES
from .requests import Request

_COLUMNS = {
    "intentions": {"user_id": pa.string(), "item_id": pa.string(), "text": pa.string(), "timestamp": pa.int64()},
    "preferences": {"user_id": pa.string(), "text": pa.string()},
}
# What provenance says of intentions that no review was read for.
FROM_DESCRIPTIONS = "descriptions of items"
_SECTION = "## Texts written by a language model"


def text_table(kind: str, texts: Sequence[tuple[Request, str]]) -> pa.Table:
    """Build the table of one kind of texts.

    Args:
        kind: ``intentions`` or ``preferences``, which determines the columns.
        texts: requests with the texts that were generated for them, one row each.
    """
    columns = {
        name: pa.array([text if name == "text" else getattr(request, name) for request, text in texts], type_)
        for name, type_ in _COLUMNS[kind].items()
    }
    if "timestamp" in columns and columns["timestamp"].null_count:  # texts that are about no interaction
        del columns["timestamp"]
    return pa.table(columns)


def save_texts(
    dataset: RecDataset,
    source: Path | None,
    output: Path,
    tables: dict[str, pa.Table],
    provenance: dict[str, dict[str, Any]],
) -> None:
    """Write a dataset with its texts. ``output`` is replaced as a unit: an error leaves it unchanged.

    Args:
        dataset: the dataset that the texts belong to.
        source: folder that ``dataset`` was read from, whose files are copied unchanged. ``None``: the dataset was not
            read from a folder, and its tables are written.
        output: folder to write; may be ``source``.
        tables: tables of `text_table` by kind.
        provenance: per kind the rows of the card's table, such as model, date and counts.
    """
    with staged(output) as folder:
        if source is None:
            dataset.save(folder)
        else:
            for file in [*source.glob("*.parquet"), *source.glob("*.safetensors"), source / "README.md"]:
                if file.is_file():
                    shutil.copyfile(file, folder / file.name)
            for table in TABLES:  # a table of several files is a folder
                if (source / table).is_dir() and table not in tables:
                    shutil.copytree(source / table, folder / table)
        for kind, table in tables.items():
            pq.write_table(table, folder / f"{kind}.parquet")
        _describe(folder, dataset.name, provenance)


def _describe(folder: Path, name: str, provenance: dict[str, dict[str, Any]]) -> None:
    readme = folder / "README.md"
    card = DatasetCard(readme.read_text(encoding="utf-8") if readme.is_file() else f"# {name}\n")
    configs = {config["config_name"]: config for config in card.data.to_dict().get("configs") or []}
    for table in sorted(path.stem for path in folder.glob("*.parquet")):
        files = [{"split": "train", "path": f"{table}.parquet"}]
        configs.setdefault(table, {"config_name": table, "data_files": files})
    card.data["configs"] = list(configs.values())
    before, *earlier = re.split(rf"^{_SECTION}$", card.text, flags=re.MULTILINE)
    mine, *after = re.split(r"^(?=## )", "".join(earlier), maxsplit=1, flags=re.MULTILINE)
    parts = {part.split("\n", 1)[0].strip(): part for part in mine.split("### ")[1:]}
    for kind, facts in provenance.items():
        rows = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
        parts[kind] = f"{kind}\n\n| | |\n| --- | --- |\n{rows}\n"
    guard = (
        "From reviews of training interactions written before their user's first held-out interaction (leave-one-out). "
        "Intentions were written without the item's title, and neither they nor preferences name an item or a brand."
    )
    if FROM_DESCRIPTIONS in parts.get("intentions", ""):
        apart = "Intentions were written from descriptions of items, without title and brand, and are of no user."
        guard = f"{apart} Preferences: {guard[0].lower()}{guard[1:]}" if "preferences" in parts else apart
    sections = "\n".join(f"### {part.strip()}\n" for part in parts.values())
    text = f"{before.rstrip()}\n\n{_SECTION}\n\n{guard}\n\n{sections}\n{''.join(after)}"
    card.content = f"---\n{card.data.to_yaml()}\n---\n{text.rstrip()}\n"
    card.save(readme)
