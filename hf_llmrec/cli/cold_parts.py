"""Opens the recommenders by which ``train fusion`` learns what to make of items without training interactions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..data.interactions import RecDataset
from ..data.recommender_folder import load_settings
from .data_checks import check_training_data
from .fusion_options import FusionArguments
from .models import open_ranker


def open_cold_parts(arguments: FusionArguments, dataset: RecDataset) -> dict[str, Any]:
    """The parts of ``--cold_parts`` and the split that they were trained on, as `FusionRecommender.fit` takes them.

    Args:
        arguments: the command's options.
        dataset: what all parts were trained on.

    Returns:
        ``cold_parts`` and ``cold_split``; empty without the option.

    Raises:
        ValueError: a part that was trained without ``--cold_items``, on other data, or with other items held out than
            the first.
    """
    if not arguments.cold_folders:
        return {}
    held_out: dict[str, dict[str, Any]] = {}
    for name, folder in arguments.cold_folders.items():
        data = load_settings(folder).get("data", {})
        held_out[name] = {key: data[key] for key in ("cold_items", "cold_seed") if key in data}
        if len(held_out[name]) < 2:
            raise ValueError(
                f"--cold_parts {name}={folder}: trained without --cold_items, so that no item is new to it"
            )
    first, options = next(iter(held_out.items()))
    for name, own in held_out.items():
        if own != options:
            raise ValueError(
                f"--cold_parts: {name!r} was trained with {own}, {first!r} with {options}: hold out the same"
            )
    seeds = options["cold_seed"]
    seeds = [seeds] if isinstance(seeds, int) else seeds
    theirs = replace(arguments, cold_items=options["cold_items"], cold_seed=seeds)
    split = theirs.split_of(dataset)
    opened = {}
    for name, folder in arguments.cold_folders.items():
        check_training_data(folder, theirs, dataset, split)
        opened[name] = open_ranker(folder, dataset, split)
    return {"cold_parts": opened, "cold_split": split}
