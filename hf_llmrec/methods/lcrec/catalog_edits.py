"""Changes the items of a saved LC-Rec recommender without changing the model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...data.files import staged
from ...data.item_activity import ItemActivity
from ...data.item_index import ItemIndex
from ...data.recommender_folder import ItemCatalog, copy_recommender, load_settings
from .memory import LCRecMemory
from .tokenization_lcrec import LCRecTokenizer


def save_with_index(
    folder: str | os.PathLike,
    output_dir: str | os.PathLike,
    index: ItemIndex,
    titles: Mapping[str, str] | None = None,
) -> None:
    """Copy a recommender folder with the items of another index, so that only these items are recommended.

    New items have no co-occurrences in its memory, and no interactions that time features count.

    Args:
        folder: a saved LC-Rec recommender.
        output_dir: the folder of the copy, another one than ``folder``; checkpoints of the training are not copied.
        index: the new index, from `ItemIndex.add_items` and `ItemIndex.remove_items`.
        titles: titles of new items by item id; the other items keep their titles.

    Raises:
        ValueError: the two folders are the same; an index with other codebooks; an item whose codes are not those that
            the model has learned; or a new item without a title.

    Example:
        ```python
        index = ItemIndex.from_pretrained("outputs/lcrec")
        index = index.add_items(["new"], encode(["A title"]), encode(all_titles)).remove_items(["sold out"])
        save_with_index("outputs/lcrec", "outputs/lcrec-june", index, {"new": "A title"})
        ```
    """
    if Path(output_dir).resolve() == Path(folder).resolve():
        raise ValueError(f"{output_dir}: choose another folder than that of the recommender")
    old = LCRecTokenizer.from_pretrained(folder)
    old_codes = {item: codes for item, codes in zip(old.item_index.item_ids, old.item_index.codes, strict=True)}
    if index.codebook_sizes != old.item_index.codebook_sizes:
        raise ValueError(f"{folder} has codebooks of {old.item_index.codebook_sizes}, the index {index.codebook_sizes}")
    for item, codes in zip(index.item_ids, index.codes, strict=True):
        if item in old_codes and not np.array_equal(old_codes[item], codes):
            raise ValueError(f"item {item!r} has other codes than those that {folder} has learned")
    catalog = ItemCatalog.load(folder)
    title_of = {**dict(zip(catalog.item_ids, catalog.titles, strict=True)), **(titles or {})}
    missing = next((item for item in index.item_ids if item not in title_of), None)
    if missing is not None:
        raise ValueError(f"item {missing!r} is new: give its title")
    new_titles = [title_of[item] for item in index.item_ids]
    with staged(output_dir) as staging:
        copy_recommender(folder, staging)
        LCRecTokenizer.from_base(old, index, new_titles).save_pretrained(staging)
        ItemCatalog(list(index.item_ids), new_titles, catalog.dataset_fingerprint).save(staging)
        row_of = {item: row for row, item in enumerate(old.item_index.item_ids)}
        rows = np.array([row_of.get(item, -1) for item in index.item_ids], dtype=np.int64)
        settings = load_settings(folder)
        if settings.get("memory"):
            LCRecMemory.load(folder, settings["memory"]).take(rows).save(staging)
        if settings.get("time_features"):
            ItemActivity.load(folder, len(row_of)).take(rows).save(staging)
