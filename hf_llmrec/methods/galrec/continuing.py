"""Whether a saved GAL-Rec can be trained further: its items, and their external embeddings, stay what they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional as F

from ...data.embedding_files import load_item_embeddings
from ...data.interactions import RecDataset
from ...data.splits import RecSplit
from .modeling_galrec import GALRecForCausalLM

# Saved vectors may be in half precision.
_SAME_DIRECTION = 0.999


def check_catalog(name: str, known: Sequence[str], dataset: RecDataset) -> None:
    """Refuse a dataset of other items than the model's.

    Args:
        name: of the model, for errors.
        known: its item ids, by row.
        dataset: to train with.

    Raises:
        ValueError: says from which row on they differ.
    """
    if list(known) == dataset.item_ids:
        return
    rows = zip(known, dataset.item_ids, strict=False)
    row = next((row for row, (one, other) in enumerate(rows) if one != other), min(len(known), dataset.num_items))
    raise ValueError(
        f"{name} was trained on another catalogue: it has {len(known)} items, --dataset {dataset.num_items}, and they "
        f"differ from row {row} on; items cannot be added to a GAL-Rec"
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
    """Refuse files of external embeddings that are not those that the model was trained with.

    Args:
        name: of the model, for errors.
        model: has its vectors.
        files: safetensors files by kind, ``text`` or ``collaborative``; ``None``: not given, not checked.
        dataset, split: what the files are of.
        other_data: take files that were fitted on other interactions or another split.

    Raises:
        ValueError: names the file.
    """
    sizes = model.config.external_sizes
    saved = dict(zip(sizes, model.model.item_external.float().cpu().split(tuple(sizes.values()), dim=-1), strict=True))
    for kind, file in files.items():
        if not file or kind not in saved:
            continue
        vectors = load_item_embeddings(file, dataset, split, other_data=other_data)
        given = F.normalize(torch.as_tensor(vectors).float(), dim=-1)
        same = given.shape == saved[kind].shape
        if same:
            known = F.normalize(saved[kind], dim=-1)
            is_unknown = (given == 0).all(dim=-1) & (known == 0).all(dim=-1)
            same = bool((((given * known).sum(dim=-1) > _SAME_DIRECTION) | is_unknown).all())
        if not same:
            raise ValueError(f"{file}: not the {kind} embeddings that {name} was trained with; leave the option out")
