"""Finds the items whose indices occur in prompts: those of the history."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .item_trie import ItemTrie


def items_in_prompts(
    input_ids: torch.Tensor, attention_mask: torch.Tensor, trie: ItemTrie, level_token_ids: Sequence
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the items of the trie whose index occurs in each prompt, each once.

    Args:
        input_ids: int64 (batch, length), left-padded prompts.
        attention_mask: int64 (batch, length), 0 at padding and 1 elsewhere.
        trie: the valid indices.
        level_token_ids: per level, int64 (codes,), the vocabulary id of each code.

    Returns:
        the prompts, int64 (n,), in increasing order, and the leaves of the trie, int64 (n,).
    """
    device, depth = input_ids.device, trie.depth
    ids = [torch.as_tensor(each, dtype=torch.long, device=device) for each in level_token_ids]
    starts = input_ids.shape[1] - depth + 1
    if starts < 1:
        return input_ids.new_empty(0), input_ids.new_empty(0)
    size = 1 + max(int(each.max()) for each in ids)
    # Only places with a code of the first level are followed.
    prompts, places = torch.nonzero(
        torch.isin(input_ids[:, :starts], ids[0]) & attention_mask[:, :starts].bool(), as_tuple=True
    )
    nodes = torch.zeros_like(places)
    for level, each in enumerate(ids):
        code_of = torch.full((size + 1,), -1, device=device)
        code_of[each] = torch.arange(len(each), device=device)
        codes = code_of[input_ids[prompts, places + level].clamp_max(size)]
        nodes = trie.step(level, nodes, codes)
        is_there = nodes >= 0
        prompts, places, nodes = prompts[is_there], places[is_there], nodes[is_there]
    keys = torch.unique(prompts * trie.num_items + nodes)
    return keys // trie.num_items, keys % trie.num_items
