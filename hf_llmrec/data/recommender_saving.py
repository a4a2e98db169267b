"""Atomic saving of a recommender folder: if the process is killed, the earlier content stays as it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accelerate import PartialState

from .co_occurrence import CO_OCCURRENCE_FILE
from .files import move_files, read_json
from .graph_files import GRAPH_FILE
from .item_activity import ACTIVITY_FILE
from .recommender_folder import (
    PART_NAME,
    PARTS_FOLDER,
    RECOMMENDER_FILE,
    TEXT_ENCODER_FOLDER,
    ItemCatalog,
    save_settings,
)


def save_recommender(
    folder: str | os.PathLike,
    method: str,
    catalog: ItemCatalog,
    settings: Mapping[str, Any],
    save_model: Callable[[Path], None],
    *,
    is_writer: bool = True,
) -> None:
    """Write weights (and tokenizer), catalogue and settings to a hidden folder, then move them to ``folder``.

    Call it on all processes. The remains of a killed save are deleted first. Weights, graph and co-occurrences of an
    earlier model in ``folder`` are deleted if the new model does not replace them: shards of both models would be read
    and published together.

    Args:
        folder: recommender folder.
        method: name of the method, as registered with `hf_llmrec.AutoRecommender`.
        catalog: items of the model.
        settings: how the model recommends, and under ``data`` what it was trained on (JSON values).
        save_model: called with the hidden folder on all processes; the files that it writes there are saved.
        is_writer: whether this process writes the catalogue and the settings and moves the files.
    """
    # All processes use the same folder. No reader sees a model without its catalogue.
    folder = Path(folder)
    staging = folder / ".staging-recommender"
    if is_writer:
        shutil.rmtree(staging, ignore_errors=True)
    PartialState().wait_for_everyone()  # no process writes before the folder is empty
    save_model(staging)
    if is_writer:
        catalog.save(staging)
        save_settings(staging, method, dict(settings))
        _remove_replaced(folder, staging)
        move_files(staging, folder)
        shutil.rmtree(staging)


def _remove_replaced(folder: Path, staging: Path) -> None:
    """Delete files of an earlier model that would be read as parts of the one in ``staging``."""
    weights = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
    before = read_json(folder / RECOMMENDER_FILE) if (folder / RECOMMENDER_FILE).is_file() else {}
    names = [part["name"] for part in before.get("parts", []) if PART_NAME.fullmatch(part["name"])]
    folders = [f"{PARTS_FOLDER}/{name}" for name in names]
    folders += [TEXT_ENCODER_FOLDER] if before.get("text_encoder") else []
    for pattern in (*weights, GRAPH_FILE, CO_OCCURRENCE_FILE, ACTIVITY_FILE, *(f"{name}/**/*" for name in folders)):
        for file in folder.glob(pattern):
            if file.is_file() and not (staging / file.relative_to(folder)).exists():
                file.unlink()
