"""What is added to the items' scores during one search: the caller's bonus, and the bias of items in the prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from .item_bonus import ItemBonus
from .item_trie import ItemTrie
from .prompt_items import items_in_prompts
from .search_bonus import SearchBonus
from .sparse_item_bonus import SparseItemBonus


def added_scores(
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    trie: ItemTrie,
    level_token_ids: Sequence,
    dtype: torch.dtype,
    *,
    item_bonus: torch.Tensor | None = None,
    repeat_bias: float = 0.0,
    exclude: Sequence[np.ndarray] | None = None,
) -> SearchBonus | None:
    """Combine the scores that are added to items.

    Args:
        input_ids: int64 (batch, length), left-padded prompts.
        attention_mask: int64 (batch, length), 0 at padding and 1 elsewhere.
        trie: the valid indices.
        level_token_ids: per level, int64 (codes,), the vocabulary id of each code.
        dtype: of the scores.
        item_bonus: float (batch, rows), dense or sparse (COO), see `recommend_items`; ``None``: none.
        repeat_bias: added to every item whose index occurs in the prompt; 0: nothing.
        exclude: per prompt, int item rows that must not be returned; ``None``: none.

    Returns:
        The bonus to add during the search; ``None`` if there is nothing to add.

    Raises:
        ValueError: a bonus of another shape or for another number of prompts, or a value that is not finite.
    """
    if item_bonus is None and not repeat_bias:
        return None
    if not math.isfinite(repeat_bias):
        raise ValueError(f"repeat_bias must be finite, got {repeat_bias}")
    device = trie.item_rows.device
    if item_bonus is not None:
        rows = int(trie.item_rows.max()) + 1
        if item_bonus.dim() != 2 or item_bonus.shape[1] < rows or not item_bonus.is_floating_point():
            raise ValueError(
                f"item_bonus must be float (batch, {rows} or more), got {item_bonus.dtype} {tuple(item_bonus.shape)}"
            )
        if len(item_bonus) != len(input_ids):
            raise ValueError(f"item_bonus has {len(item_bonus)} rows for {len(input_ids)} prompts")
        item_bonus = item_bonus.to(device, dtype)
        item_bonus = item_bonus.coalesce() if item_bonus.is_sparse else item_bonus
        if not (item_bonus.values() if item_bonus.is_sparse else item_bonus).isfinite().all():
            raise ValueError(
                "item_bonus has values that are not finite; use exclude for items that must not be returned"
            )
    prompts = leaves = torch.zeros(0, dtype=torch.long, device=device)
    if repeat_bias:
        prompts, leaves = items_in_prompts(input_ids, attention_mask, trie, level_token_ids)
    values = torch.full((len(prompts),), repeat_bias, dtype=dtype, device=device)
    if item_bonus is not None and not item_bonus.is_sparse:
        if repeat_bias:
            item_bonus = item_bonus.index_put((prompts, trie.item_rows[leaves]), values, accumulate=True)
        return ItemBonus(trie, item_bonus, exclude)
    if item_bonus is not None:
        owners, rows = item_bonus.indices()
        own = trie.find_leaves(rows)
        inside = own >= 0
        prompts, leaves = torch.cat([prompts, owners[inside]]), torch.cat([leaves, own[inside]])
        values = torch.cat([values, item_bonus.values()[inside]])
    return SparseItemBonus(trie, prompts, leaves, values, len(input_ids), exclude)
