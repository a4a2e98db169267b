"""Writing the tables and the card of a dataset folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .files import write_text


def save_tables(folder: str | os.PathLike, tables: Mapping[str, pa.Table], title: str, summary: str) -> None:
    """Write Parquet tables and a card with ``configs``, so that ``load_dataset(folder, "interactions")`` works.

    Each file is written under a temporary name and renamed, the card last.

    Args:
        folder: dataset folder; created if needed.
        tables: tables by name.
        title: heading of the card.
        summary: text of the card, one paragraph.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        temporary = path / f".{name}.parquet.tmp"
        pq.write_table(table, temporary)
        os.replace(temporary, path / f"{name}.parquet")
    configs = "\n".join(
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}.parquet" for name in tables
    )
    write_text(
        path / "README.md",
        f"---\nconfigs:\n{configs}\ntags:\n- recommendation\n- hf_llmrec\n---\n\n# {title}\n\n{summary}\n",
    )
