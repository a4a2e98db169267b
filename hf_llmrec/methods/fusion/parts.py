"""Saving and loading the recommenders that a fusion is made of."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...data.recommender_folder import PARTS_FOLDER
from ...recommender import Recommender
from ..auto import AutoRecommender

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def save_parts(parts: Mapping[str, Recommender], folder: str | os.PathLike, *, is_main_process: bool = True) -> None:
    """Save recommenders inside the folder of a fusion; called on all processes.

    Args:
        parts: the recommenders by name.
        folder: of the fusion.
        is_main_process: whether this process writes.

    Raises:
        ValueError: a name that is no folder's.
    """
    for name, part in parts.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"the name of a part must consist of letters, digits, dots, - and _, got {name!r}")
        part.save_pretrained(Path(folder) / PARTS_FOLDER / name, is_main_process=is_main_process)


def load_part(
    entry: Mapping[str, Any], path_or_hub_id: str | os.PathLike, device: torch.device, **where: Any
) -> Recommender:
    """Load a part of a saved fusion.

    Args:
        entry: of ``parts`` in the fusion's settings: ``name``, and ``source`` if it lies elsewhere.
        path_or_hub_id: folder or Hub id of the fusion.
        device: where the part's model goes.
        where: the revision, token and the like that the fusion is read with.

    Raises:
        FileNotFoundError: the part is missing; names it.
    """
    source, options = entry.get("source"), {**where, "device": device}
    if source is None:
        inside = "/".join(filter(None, (where.get("subfolder"), PARTS_FOLDER, entry["name"])))
        source, options["subfolder"] = path_or_hub_id, inside
    else:  # another repository: neither the fusion's revision nor its folder apply
        options = {name: value for name, value in options.items() if name not in ("revision", "subfolder")}
        source, _, revision = str(source).partition("@")
        options |= {"revision": revision} if revision else {}
    try:
        return AutoRecommender.from_pretrained(source, **options)
    except FileNotFoundError as error:
        place = f"its folder {options['subfolder']}" if "source" not in entry else f"{entry['source']}"
        raise FileNotFoundError(
            f"{path_or_hub_id}: the part {entry['name']!r} is missing: {place} ({error})"
        ) from error
