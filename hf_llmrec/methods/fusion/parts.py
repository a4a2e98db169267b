"""Saving and loading the recommenders that a fusion is made of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from ...data.recommender_folder import PART_NAME, PARTS_FOLDER
from ...recommender import Recommender
from ..auto import AutoRecommender


def check_part_names(names: Iterable[str]) -> None:
    """Refuse names that could lead out of the folder of a fusion.

    Args:
        names: of the parts.

    Raises:
        ValueError: a name with other characters than letters, digits, dots, ``-`` and ``_``.
    """
    for name in names:
        if not PART_NAME.fullmatch(name):
            raise ValueError(f"names of parts may have letters, digits, dots, - and _, got {name!r}")


def save_parts(parts: Mapping[str, Recommender], folder: str | os.PathLike, *, is_main_process: bool = True) -> None:
    """Save recommenders inside the folder of a fusion; called on all processes.

    Args:
        parts: the recommenders by name.
        folder: of the fusion.
        is_main_process: whether this process writes.
    """
    for name, part in parts.items():
        part.save_pretrained(Path(folder) / PARTS_FOLDER / name, is_main_process=is_main_process)


def load_part(
    entry: Mapping[str, Any],
    path_or_hub_id: str | os.PathLike,
    device: torch.device,
    where: Mapping[str, Any],
    changes: Mapping[str, Any],
) -> Recommender:
    """Load a part of a saved fusion.

    Args:
        entry: of ``parts`` in the fusion's settings: ``name``, and ``source`` if it lies elsewhere.
        path_or_hub_id: folder or Hub id of the fusion.
        device: where the part's model goes.
        where: the revision, token and the like that the fusion is read with.
        changes: further options of `Recommender.from_pretrained`.

    Raises:
        FileNotFoundError: the part is missing; names it.
        ValueError: a name that is no part's.
    """
    check_part_names([entry["name"]])
    source, options = entry.get("source"), {**where, **changes, "device": device}
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
