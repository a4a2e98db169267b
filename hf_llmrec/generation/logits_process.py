"""A `LogitsProcessor` that lets plain `generate` produce valid item indices only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import LogitsProcessor

from .item_trie import ItemTrie


class ItemLogitsProcessor(LogitsProcessor):
    """Keeps `generate` on the item trie, for all batch x beam rows at once.

    Use it with ``max_new_tokens=trie.depth`` and no end-of-sequence token. After the last level nothing is masked.

    Args:
        trie: the valid indices.
        level_token_ids: per level int64 (codes,), vocabulary ids.
        prompt_length: tokens before the index, padding included.
        normalize: ``vocab`` masks only; ``level`` and ``children`` renormalise the scores, see `recommend_items`.
        exclude: per prompt, item rows that must not be generated. num_beams: rows per prompt, needed with ``exclude``.
    """

    def __init__(
        self,
        trie: ItemTrie,
        level_token_ids: Sequence,
        prompt_length: int,
        normalize: str = "vocab",
        *,
        exclude: Sequence[np.ndarray] | None = None,
        num_beams: int = 1,
    ):
        self.trie, self.prompt_length, self.normalize, self.num_beams = trie, prompt_length, normalize, num_beams
        device = trie.item_rows.device
        self.ids = [torch.as_tensor(ids, dtype=torch.long, device=device) for ids in level_token_ids]
        largest = max(int(ids.max()) for ids in self.ids)
        self.code_of = torch.full((len(self.ids), largest + 1), -1, device=device)
        for level, ids in enumerate(self.ids):
            self.code_of[level, ids] = torch.arange(len(ids), device=device)
        self.barred = None if exclude is None else trie.barred_nodes(list(exclude))

    def nodes(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Node of each row, -1 off the trie: int64 (rows,), and the depth reached."""
        tokens = input_ids[:, self.prompt_length :]
        node = torch.zeros(len(input_ids), dtype=torch.long, device=input_ids.device)
        for level in range(min(tokens.shape[1], self.trie.depth)):
            token = tokens[:, level]
            known = token < self.code_of.shape[1]
            code = torch.where(known, self.code_of[level, token.clamp_max(self.code_of.shape[1] - 1)], -1)
            node = torch.where(code >= 0, self.trie.step(level, node, code), -1)
        return node, tokens.shape[1]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        nodes, level = self.nodes(input_ids)
        if level >= self.trie.depth:
            return scores
        child, codes, real = self.trie.children(level, nodes)
        tokens = self.ids[level][codes]
        values = scores.gather(-1, tokens)
        if self.normalize == "level":
            values = values - scores[:, self.ids[level]].logsumexp(-1, keepdim=True)
        elif self.normalize == "children":
            values = values - values.masked_fill(~real, -torch.inf).logsumexp(-1, keepdim=True)
        if self.barred is not None and self.barred[level].shape[1]:
            barred = self.barred[level].repeat_interleave(self.num_beams, dim=0)
            real = real & ~(child.unsqueeze(-1) == barred[:, None, :]).any(-1)
        result = torch.full_like(scores, -torch.inf)
        # Padding slots repeat child 0: write them to a spare column instead of over a real score.
        spare = torch.cat([result, result[:, :1]], dim=1)
        spare.scatter_(1, torch.where(real, tokens, scores.shape[1]), values)
        return spare[:, :-1]
