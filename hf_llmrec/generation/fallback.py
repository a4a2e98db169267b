"""Decoding and scoring through transformers' own entry points, for models that cannot use the mask of `BeamTree`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, cast

import numpy as np
import torch
from transformers import GenerationConfig, LogitNormalization, LogitsProcessorList, PreTrainedModel

from .beam_tree import uses_positions
from .item_trie import ItemTrie
from .level_head import LevelHead
from .logits_process import ItemLogitsProcessor
from .search_bonus import SearchBonus

# Sequences per forward pass of `score_by_forward`.
CHUNK = 256


class _Generated(Protocol):
    """What `generate` returns with ``return_dict_in_generate`` and ``output_scores``."""

    sequences: torch.Tensor
    scores: tuple[torch.Tensor, ...]
    sequences_scores: torch.Tensor  # of beam search only


class _Generator(Protocol):
    """A causal LM, which inherits `generate` beside `PreTrainedModel`."""

    def generate(self, **options: object) -> _Generated: ...


@contextmanager
def plain_generation(model: PreTrainedModel) -> Iterator[None]:
    """Replace ``model.generation_config`` by an empty one inside the block.

    `generate` takes every option that is not passed from this configuration: a checkpoint's penalties, end tokens and
    suppressed tokens would change the ranking.
    """
    stored, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = stored


def prompt_groups(model: PreTrainedModel, attention_mask: torch.Tensor) -> Iterator[tuple[torch.Tensor, int]]:
    """Yield the prompts that can share a batch: their rows, int64 (m,), and the first column that may hold a token.

    Usually there is one group. But transformers' eager attention gives NaN at padding in float64, because the smallest
    number of its mask is -inf in the float32 softmax. Such prompts are grouped by length, so that none is padded.
    """
    padding = attention_mask.shape[1] - attention_mask.sum(1)
    if model.dtype != torch.float64 or model.config.get_text_config()._attn_implementation == "sdpa":
        yield torch.arange(len(padding), device=padding.device), 0
        return
    for start in padding.unique().tolist():
        yield torch.nonzero(padding == start).flatten(), start


def search_by_generate(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    trie: ItemTrie,
    level_token_ids: Sequence,
    num_beams: int,
    normalize: str,
    *,
    exclude: Sequence[np.ndarray] | None = None,
    bonus: SearchBonus | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Search the trie with transformers' own beam search.

    `generate` adds up scores in float32 whatever the model's dtype, so those of float64 models have this precision.

    Args:
        model: causal LM in evaluation mode.
        input_ids: int64 (batch, length), left-padded prompts.
        attention_mask: int64 (batch, length), 0 at padding and 1 elsewhere.
        trie: the valid indices.
        level_token_ids: per level, int64 (codes,), the vocabulary id of each code.
        num_beams: hypotheses kept per level.
        normalize: ``vocab``, ``level`` or ``children``, see `recommend_items`.
        exclude: per prompt, int item rows that must not be returned; ``None``: none. Not used with ``bonus``.
        bonus: scores that are added to items, made with what to exclude; ``None``: none.

    Returns:
        leaves of the trie int64 (batch, num_beams), -1 for dead beams, and their scores (batch, num_beams), float32
        (float64 for float64 models), -inf for dead beams; not sorted. `ranked_items` makes items of them.
    """
    dtype = torch.float64 if model.dtype == torch.float64 else torch.float32
    leaves = torch.full((len(input_ids), num_beams), -1, device=input_ids.device)
    scores = torch.full(leaves.shape, -torch.inf, dtype=dtype, device=input_ids.device)
    for group, start in prompt_groups(model, attention_mask):
        ids, mask = input_ids[group, start:], attention_mask[group, start:]
        excluded = None if exclude is None or bonus is not None else [exclude[row] for row in group.tolist()]
        added = None if bonus is None else bonus.take(group)
        processor = ItemLogitsProcessor(
            trie, level_token_ids, ids.shape[1], normalize, exclude=excluded, num_beams=num_beams, bonus=added
        )
        leaves[group], values = _generate_leaves(model, ids, mask, processor, num_beams)
        # The processor adds differences from level to level, which lack the root's.
        scores[group] = values.to(dtype) + (0 if added is None else added.at_root.to(dtype).unsqueeze(1))
    return leaves, scores


def _generate_leaves(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    processor: ItemLogitsProcessor,
    num_beams: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return leaves int64 (batch, beams), -1 for dead ones, and their scores (batch, beams)."""
    greedy = num_beams == 1
    # Only beam search passes log-probabilities to its processors and reports the scores of sequences.
    processors = [LogitNormalization(), processor] if greedy else [processor]
    with plain_generation(model):
        generated = cast(_Generator, model).generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            logits_processor=LogitsProcessorList(processors),
            num_beams=num_beams,
            num_return_sequences=num_beams,
            max_new_tokens=processor.trie.depth,
            do_sample=False,
            pad_token_id=0,
            return_dict_in_generate=True,
            output_scores=True,
            **({} if greedy else {"length_penalty": 0.0}),
        )
    if greedy:
        chosen = generated.sequences[:, input_ids.shape[1] :]
        steps = [step.gather(1, chosen[:, level : level + 1]) for level, step in enumerate(generated.scores)]
        scores = torch.cat(steps, dim=1).sum(1)
    else:
        scores = generated.sequences_scores
    leaves, _ = processor.nodes(generated.sequences)
    leaves, scores = leaves.view(-1, num_beams), scores.view(-1, num_beams)
    # Beams beyond the valid items are dead: beam search gives them scores of about -1e9, or repeats other beams.
    dead = (leaves < 0) | (scores < -1e6)
    earlier = (leaves.unsqueeze(1) == leaves.unsqueeze(2)) & ~dead.unsqueeze(1)
    dead = dead | torch.tril(earlier, diagonal=-1).any(-1)
    return leaves.masked_fill(dead, -1), scores.masked_fill(dead, -torch.inf)


def score_by_forward(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    level_token_ids: Sequence,
    codes: torch.Tensor,
    normalize: str,
) -> list[torch.Tensor]:
    """Compute the log-probabilities of each level's codes (logits with ``children``), one full sequence per item.

    Args:
        model: causal LM in evaluation mode.
        input_ids: int64 (batch, length), left-padded prompts.
        attention_mask: int64 (batch, length), 0 at padding and 1 elsewhere.
        level_token_ids: per level, int64 (codes,), the vocabulary id of each code.
        codes: int64 (batch, m, levels), the codes of the items.
        normalize: ``vocab``, ``level`` or ``children``, see `recommend_items`.

    Returns:
        per level, (batch, m, codes of the level), float32 or wider.
    """
    batch, count, depth = codes.shape
    head = LevelHead(model, level_token_ids, normalize, True, input_ids.device)
    takes_positions = uses_positions(model)
    flat = codes.flatten(0, 1)
    index = torch.stack([head.ids[level][flat[:, level]] for level in range(depth)], dim=-1)[:, :-1]
    parts: list[list[torch.Tensor]] = [[] for _ in range(depth)]
    places = []
    for group, start in prompt_groups(model, attention_mask):
        sequences = (group.unsqueeze(1) * count + torch.arange(count, device=group.device)).flatten()
        places.append(sequences)
        for rows in sequences.split(CHUNK):
            ids = torch.cat([input_ids[rows // count, start:], index[rows]], dim=1)
            mask = torch.cat([attention_mask[rows // count, start:], torch.ones_like(index[rows])], dim=1)
            positions = {"position_ids": (mask.cumsum(1) - 1).clamp_min(0)} if takes_positions else {}
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False, **positions).logits[:, -depth:]
            for level in range(depth):
                parts[level].append(head(logits[:, level], level))
    order = torch.cat(places).argsort()
    return [torch.cat(part)[order].view(batch, count, -1) for part in parts]
