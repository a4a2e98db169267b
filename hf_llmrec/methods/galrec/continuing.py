"""Checks before a saved GAL-Rec is trained further: its items and their external embeddings must be the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional as F

from ...data.embedding_files import load_item_embeddings
from ...data.interactions import RecDataset
from ...data.splits import RecSplit
from .modeling_galrec import GALRecForCausalLM

# Cosine above which two vectors count as equal: saved vectors may be in half precision.
_SAME_DIRECTION = 0.999


def check_catalog(name: str, item_ids: Sequence[str], dataset: RecDataset) -> None:
    """Refuse a dataset whose items are not those of the model.

    Args:
        name: of the model, for error messages.
        item_ids: of the model, by row.
        dataset: to train on.

    Raises:
        ValueError: the items differ; names the first row that does.
    """
    if list(item_ids) == dataset.item_ids:
        return
    rows = zip(item_ids, dataset.item_ids, strict=False)
    row = next((row for row, (one, other) in enumerate(rows) if one != other), min(len(item_ids), dataset.num_items))
    raise ValueError(
        f"{name} was trained on another catalogue: it has {len(item_ids)} items, --dataset {dataset.num_items}, and "
        f"they differ from row {row} on; items cannot be added to a GAL-Rec"
    )


def check_item_vectors(
    name: str,
    model: GALRecForCausalLM,
    files: Mapping[str, str | None],
    dataset: RecDataset,
    split: RecSplit,
    *,
    other_data: bool = False,
) -> None:
    """Refuse files of external embeddings that differ from those the model was trained with.

    Args:
        name: of the model, for error messages.
        model: the saved model, with its item vectors.
        files: safetensors files by kind, ``text`` or ``collaborative``; ``None``: no file, nothing to check.
        dataset: whose items the files embed.
        split: whose training interactions the files were fitted on.
        other_data: accept files that were fitted on other interactions or another split.

    Raises:
        ValueError: a file differs; names it.
    """
    sizes = model.config.external_widths
    saved = dict(zip(sizes, model.model.item_external.float().cpu().split(tuple(sizes.values()), dim=-1), strict=True))
    for kind, file in files.items():
        if not file or kind not in saved:
            continue
        vectors = load_item_embeddings(file, dataset, split, other_data=other_data)
        given = F.normalize(torch.as_tensor(vectors).float(), dim=-1)
        same = given.shape == saved[kind].shape
        if same:
            expected = F.normalize(saved[kind], dim=-1)
            is_missing = (given == 0).all(dim=-1) & (expected == 0).all(dim=-1)
            same = bool((((given * expected).sum(dim=-1) > _SAME_DIRECTION) | is_missing).all())
        if not same:
            raise ValueError(f"{file}: not the {kind} embeddings that {name} was trained with; leave the option out")
