"""Read-outs of users and items, by the names that the graph-aware losses use, and the segments they are read from."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from .configuration_galrec import SPECIAL_TOKENS

# Column of each read-out in the model's ``representations``.
PLACES = {name: place for place, name in enumerate(SPECIAL_TOKENS)}


def reads_segments(kinds: tuple[str, ...]) -> bool:
    """Whether any kind of read-out is read from short segments, of a user or an item alone.

    Args:
        kinds: of read-outs, such as ``user_0``.
    """
    return "user_0" in kinds or "item_0" in kinds


def hop_readouts(representations: torch.Tensor) -> dict[str, torch.Tensor]:
    """E_u^1 and E_u^2 of every example.

    Args:
        representations: float (examples, len(SPECIAL_TOKENS), d), of the users' sequences.

    Returns:
        float (examples, d) for ``user_1`` and ``user_2``.
    """
    return {"user_1": representations[:, PLACES["USER_1"]], "user_2": representations[:, PLACES["USER_2"]]}


def segment_readouts(representations: torch.Tensor, segments: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """E_u^0 and E_t^0 of every pair.

    Args:
        representations: float (pairs + items, len(SPECIAL_TOKENS), d), of the batch of `stack_segments`.
        segments: of a batch of `GALRecCollator`.

    Returns:
        float (pairs, d) for ``user_0`` and ``item_0``.
    """
    own, item = representations.split([len(segments["own_ids"]), len(segments["item_ids"])])
    return {"user_0": own[:, PLACES["USER_0"]], "item_0": item[segments["item_places"], PLACES["ITEM_0"]]}


def stack_segments(segments: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Put user segments, then item segments, into one batch.

    Args:
        segments: of a batch of `GALRecCollator`.

    Returns:
        The token ids int64 (pairs + items, longest), and the items that represent each segment's user, int64
        (pairs + items, k), padded with -1.
    """
    own, item, owners = segments["own_ids"], segments["item_ids"], segments["own_items"]
    width = max(own.shape[1], item.shape[1])
    ids = torch.cat([F.pad(part, (0, width - part.shape[1])) for part in (own, item)])
    return ids, F.pad(owners, (0, 0, 0, len(item)), value=-1)
