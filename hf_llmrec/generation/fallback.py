"""Decoding and scoring through the stock entry points, for models that cannot take the tree's mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from transformers import GenerationConfig, LogitNormalization, LogitsProcessorList, PreTrainedModel

from .beam_tree import uses_positions
from .item_trie import ItemTrie, ranked_items
from .level_head import LevelHead
from .logits_process import ItemLogitsProcessor

# Sequences per forward pass of `score_by_forward`.
CHUNK = 256


@contextmanager
def plain_generation(model: PreTrainedModel):
    """Within, ``model.generation_config`` holds nothing.

    `generate` fills whatever a call leaves open from it: a checkpoint's penalties, end tokens and suppressed tokens
    would change the ranking.
    """
    stored, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = stored


def prompt_groups(model: PreTrainedModel, attention_mask: torch.Tensor) -> Iterator[tuple[torch.Tensor, int]]:
    """Prompts that can share a batch: their rows int64 (m,), and the column where their tokens may start.

    All of them, as a rule. But transformers' eager attention gives NaN for padding in float64 (its mask's least number
    is -inf in the float32 softmax): such prompts are grouped by length, without padding.
    """
    padding = attention_mask.shape[1] - attention_mask.sum(1)
    if model.dtype != torch.float64 or model.config.get_text_config()._attn_implementation == "sdpa":
        yield torch.arange(len(padding), device=padding.device), 0
        return
    for start in padding.unique().tolist():
        yield torch.nonzero(padding == start).flatten(), start


def recommend_by_generate(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    trie: ItemTrie,
    level_token_ids: Sequence,
    num_beams: int,
    k: int,
    normalize: str,
    exclude: Sequence[np.ndarray] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`recommend_items` by transformers' own beam search. Same arguments, same result.

    `generate` adds up scores in float32 whatever the model's dtype; those of float64 models are that precise only.
    """
    dtype = torch.float64 if model.dtype == torch.float64 else torch.float32
    rows = torch.full((len(input_ids), k), -1, device=input_ids.device)
    scores = torch.full((len(input_ids), k), -torch.inf, dtype=dtype, device=input_ids.device)
    for group, start in prompt_groups(model, attention_mask):
        ids, mask = input_ids[group, start:], attention_mask[group, start:]
        barred = None if exclude is None else [exclude[row] for row in group.tolist()]
        processor = ItemLogitsProcessor(
            trie, level_token_ids, ids.shape[1], normalize, exclude=barred, num_beams=num_beams
        )
        leaves, values = _generate_leaves(model, ids, mask, processor, num_beams)
        rows[group], scores[group] = ranked_items(trie, leaves, values.to(dtype), k)
    return rows, scores


def _generate_leaves(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    processor: ItemLogitsProcessor,
    num_beams: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Leaves int64 (batch, beams), -1 for dead ones, and their scores (batch, beams)."""
    greedy = num_beams == 1
    # Only beam search hands log-probabilities to its processors and reports the scores of sequences.
    processors = [LogitNormalization(), processor] if greedy else [processor]
    with plain_generation(model):
        generated = model.generate(
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
    # Beams beyond the valid items are dead: core beam search gives them about -1e9, or lets them repeat.
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
    """Step log-probabilities (logits with ``children``) of items, one whole sequence each.

    Args:
        codes: int64 (batch, m, levels). Others: see `recommend_items`.

    Returns:
        per level (batch, m, codes of the level), float32 or wider.
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
