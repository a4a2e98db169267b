"""`StaticIndex`: a catalogue as the arrays of STATIC, which masks logits by a sparse matrix (arXiv 2602.22647)."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import save_file

from .item_trie import ItemTrie


@dataclass(frozen=True)
class StaticIndex:
    """The six arrays that STATIC's decoding functions take, for one dense level.

    States: 0 is the end of an item; ``t + 1`` is the prefix of the one token ``t``; longer prefixes, but not whole
    items, follow from ``vocab_size + 1`` on, level by level, in the order of their tokens.

    Args:
        packed_csr: int32 (transitions + vocab_size, 2), the token and the next state of each transition, ordered by
            state and token; the last ``vocab_size`` rows are padding, ``(vocab_size, 0)``.
        csr_indptr: int32 (states + 2,), transitions of state s are ``csr_indptr[s]`` to ``csr_indptr[s + 1]``.
        layer_max_branches: int32 (levels,), the largest number of tokens that can follow at each level.
        start_mask: bool (vocab_size,), the tokens that begin an item.
        dense_mask: bool (vocab_size,), the same as ``start_mask``.
        dense_states: int32 (vocab_size,), the state after each first token, 0 for others.
    """

    packed_csr: np.ndarray
    csr_indptr: np.ndarray
    layer_max_branches: np.ndarray
    start_mask: np.ndarray
    dense_mask: np.ndarray
    dense_states: np.ndarray

    @classmethod
    def from_token_ids(cls, token_ids: np.ndarray, vocab_size: int) -> StaticIndex:
        """Build the arrays of a catalogue.

        Args:
            token_ids: int (items, levels), the tokens of each item.
            vocab_size: number of logits per position of the model.

        Raises:
            ValueError: fewer than two levels, a token outside the vocabulary, or items that share their tokens.
        """
        trie = ItemTrie.from_codes(token_ids)
        if trie.depth < 2:
            raise ValueError(f"STATIC needs items of at least 2 tokens, these have {trie.depth}")
        if token_ids.max() >= vocab_size:
            raise ValueError(f"token {int(token_ids.max())} lies outside the vocabulary of {vocab_size}")
        first = trie.levels[0].codes.numpy()
        nodes = [len(edges.codes) for edges in trie.levels]
        # Base of the states of each depth from 2 on; the last depth is the end of an item.
        bases = vocab_size + 1 + np.cumsum([0, *nodes[1:-1]])
        num_states = int(bases[-1])
        children = np.zeros(num_states, dtype=np.int64)
        transitions = []
        states = first + 1
        for level, edges in enumerate(trie.levels[1:], start=1):
            children[states] = np.diff(edges.first_child.numpy())
            is_last = level == trie.depth - 1
            states = np.zeros(nodes[level], np.int64) if is_last else bases[level - 1] + np.arange(nodes[level])
            transitions.append(np.stack([edges.codes.numpy(), states], axis=1))
        padding = np.tile([vocab_size, 0], (vocab_size, 1))
        ends = np.cumsum(children)
        start_mask = np.zeros(vocab_size, dtype=bool)
        start_mask[first] = True
        dense_states = np.zeros(vocab_size, dtype=np.int32)
        dense_states[first] = first + 1
        return cls(
            packed_csr=np.concatenate([*transitions, padding]).astype(np.int32),
            csr_indptr=np.concatenate([[0], ends, ends[-1:] + vocab_size]).astype(np.int32),
            layer_max_branches=np.array([edges.fan_out for edges in trie.levels], dtype=np.int32),
            start_mask=start_mask,
            dense_mask=start_mask.copy(),
            dense_states=dense_states,
        )

    def save(self, path: str | os.PathLike) -> None:
        """Write the arrays as safetensors, under their names.

        Args:
            path: file to write.
        """
        save_file(dict(vars(self)), path)
