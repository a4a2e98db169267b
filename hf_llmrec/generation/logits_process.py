"""`ItemLogitsProcessor`: restricts plain `generate` to valid item indices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import LogitsProcessor

from .item_trie import NO_NUMBERS, ItemTrie
from .level_head import NORMALIZATIONS
from .search_bonus import SearchBonus


class ItemLogitsProcessor(LogitsProcessor):
    """Masks all tokens that leave the item trie, for all batch x beam rows at once.

    Use it with ``max_new_tokens=trie.depth`` and no end-of-sequence token. After the last level nothing is masked.

    Args:
        trie: the valid indices.
        level_token_ids: per level, int64 (codes,), the vocabulary id of each code.
        prompt_length: tokens before the index, padding included.
        normalize: ``vocab`` masks only; ``level`` and ``children`` renormalise the scores, see `recommend_items`.
        exclude: per prompt, int item rows that must not be generated; ``None``: none.
        num_beams: rows per prompt (``num_beams`` or ``num_return_sequences`` of `generate`); needed with ``exclude``
            and ``bonus``.
        bonus: scores that are added to items: a step adds the best bonus below the child minus that below its parent,
            so that beams are ordered by score plus best bonus below; ``None``: none.

    Raises:
        ValueError: unknown ``normalize``, or levels that do not match the trie's; when called: logits that are NaN.

    Example:
        ```python
        processor = ItemLogitsProcessor(trie, tokenizer.level_token_ids, prompt_length=input_ids.shape[1])
        model.generate(input_ids, num_beams=20, max_new_tokens=trie.depth, logits_processor=[processor])
        ```
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
        bonus: SearchBonus | None = None,
    ):
        if normalize not in NORMALIZATIONS:
            raise ValueError(f"normalize must be one of {NORMALIZATIONS}, got {normalize!r}")
        if len(level_token_ids) != trie.depth:
            raise ValueError(f"level_token_ids has {len(level_token_ids)} levels, the trie {trie.depth}")
        self.trie, self.prompt_length, self.normalize, self.num_beams = trie, prompt_length, normalize, num_beams
        self.ids = [torch.as_tensor(ids, dtype=torch.long) for ids in level_token_ids]
        self.code_of = torch.full((len(self.ids), max(int(ids.max()) for ids in self.ids) + 1), -1)
        for level, ids in enumerate(self.ids):
            self.code_of[level, ids.cpu()] = torch.arange(len(ids))
        self.keys, self.bonus = None if exclude is None else trie.excluded_nodes(exclude), bonus
        self._move(trie.item_rows.device)

    def _move(self, device: torch.device) -> None:
        """Move all tensors to the device of the scores; a no-op after the first step."""
        self.trie, self.code_of = self.trie.to(device), self.code_of.to(device)
        self.ids = [ids.to(device) for ids in self.ids]
        self.keys = None if self.keys is None else [keys.to(device) for keys in self.keys]

    def nodes(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Find the trie node of each sequence.

        Args:
            input_ids: int64 (rows, tokens), prompts with the codes generated so far.

        Returns:
            int64 (rows,), the node of each sequence, -1 where it has left the trie; and the number of its codes.
        """
        tokens = input_ids[:, self.prompt_length :]
        node = torch.zeros(len(input_ids), dtype=torch.long, device=input_ids.device)
        last = self.code_of.shape[1] - 1
        for level in range(min(tokens.shape[1], self.trie.depth)):
            token = tokens[:, level]
            code = torch.where(token <= last, self.code_of[level, token.clamp_max(last)], -1)
            node = torch.where(code >= 0, self.trie.step(level, node, code), -1)
        return node, tokens.shape[1]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return ``scores`` (rows, vocabulary) with -inf at all tokens but the codes that can follow."""
        self._move(scores.device)
        if scores.isnan().any():
            raise ValueError(f"the model's logits {NO_NUMBERS}")
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
        by_prompt = child.view(-1, self.num_beams * child.shape[-1])
        if self.bonus is not None:
            parents = self.bonus.best_below(level - 1, nodes.view(-1, self.num_beams)).reshape(-1, 1)
            below = self.bonus.best_below(level, by_prompt).view(child.shape)
            # Where all items below are excluded, both may be -inf; such children are masked.
            values = (values + (below - parents)).masked_fill(torch.isneginf(below), -torch.inf).to(scores.dtype)
        if self.keys is not None:
            real = real & ~self.trie.is_excluded(self.keys, level, by_prompt).view(real.shape)
        # Slots without a child are written to a spare column, so that they overwrite no score.
        masked = scores.new_full((scores.shape[0], scores.shape[1] + 1), -torch.inf)
        masked.scatter_(1, torch.where(real, tokens, scores.shape[1]), values)
        return masked[:, :-1]
