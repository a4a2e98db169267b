"""Writing a recommender folder so that a killed save leaves the old one as it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accelerate import PartialState

from .files import move_files
from .graph_files import GRAPH_FILE
from .recommender_folder import ItemCatalog, save_settings


def save_recommender(
    folder: str | os.PathLike,
    method: str,
    catalog: ItemCatalog,
    settings: Mapping[str, Any],
    save_model: Callable[[Path], None],
    *,
    is_writer: bool = True,
) -> None:
    """Write weights (and tokenizer), catalogue and settings under a hidden name, then rename.

    Called on all processes. What a killed save left under the hidden name is deleted first, and so are weights and the
    graph of an earlier model in ``folder`` that this one does not replace: shards of both would be read and published
    together.

    Args:
        folder: the recommender folder.
        method: as `hf_llmrec.AutoRecommender` knows it.
        catalog: the items.
        settings: how it recommends, and ``data``: what it learned from.
        save_model: called with the hidden folder on all processes; what it writes is part of the result.
        is_writer: whether this process writes the rest.
    """
    # All processes name the same folder. Nobody finds a model without its catalogue.
    folder = Path(folder)
    staging = folder / ".staging-recommender"
    if is_writer:
        shutil.rmtree(staging, ignore_errors=True)
    PartialState().wait_for_everyone()  # nobody writes before it is empty
    save_model(staging)
    if is_writer:
        catalog.save(staging)
        save_settings(staging, method, dict(settings))
        _remove_replaced(folder, staging)
        move_files(staging, folder)
        shutil.rmtree(staging)


def _remove_replaced(folder: Path, staging: Path) -> None:
    """Delete files of an earlier model that would be taken for parts of the one in ``staging``."""
    for pattern in ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json", GRAPH_FILE):
        for file in folder.glob(pattern):
            if not (staging / file.name).exists():
                file.unlink()
