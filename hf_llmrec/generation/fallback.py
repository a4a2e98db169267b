"""Decoding and scoring through the stock entry points, for models that cannot take the tree's mask."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel

from .item_trie import ItemTrie, ranked_items
from .level_head import LevelHead
from .logits_process import ItemLogitsProcessor

# Sequences per forward pass of `score_by_forward`.
CHUNK = 256


@contextmanager
def plain_generation(model: PreTrainedModel):
    """`generate` fills whatever a call leaves open from ``model.generation_config``: a checkpoint's penalties, end tokens
    and suppressed tokens would change the ranking. Inside, it holds nothing."""
    stored, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = stored


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

    `generate` adds up scores in float32 whatever the model's dtype; float64 models get float64 numbers of that precision.
    """
    processor = ItemLogitsProcessor(
        trie, level_token_ids, input_ids.shape[1], normalize, exclude=exclude, num_beams=num_beams
    )
    with plain_generation(model):
        generated = model.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            logits_processor=LogitsProcessorList([processor]),
            num_beams=num_beams,
            num_return_sequences=num_beams,
            max_new_tokens=trie.depth,
            do_sample=False,
            length_penalty=0.0,
            pad_token_id=0,
            return_dict_in_generate=True,
            output_scores=True,
        )
    if num_beams == 1:
        # Greedy search reports no sequence scores: the processed scores of the chosen tokens are theirs.
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
    scores = scores.to(torch.float64 if model.dtype == torch.float64 else torch.float32)
    return ranked_items(trie, leaves.masked_fill(dead, -1), scores, k)


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
    tokens = torch.stack([head.ids[level][codes[..., level]] for level in range(depth - 1)], -1) if depth > 1 else None
    owner = torch.arange(batch, device=input_ids.device).repeat_interleave(count)
    parts: list[list[torch.Tensor]] = [[] for _ in range(depth)]
    for rows in torch.arange(batch * count, device=input_ids.device).split(CHUNK):
        ids, mask = input_ids[owner[rows]], attention_mask[owner[rows]]
        if tokens is not None:
            ids = torch.cat([ids, tokens.flatten(0, 1)[rows]], dim=1)
            mask = torch.cat([mask, mask.new_ones(len(rows), depth - 1)], dim=1)
        inputs = model.prepare_inputs_for_generation(ids, attention_mask=mask, use_cache=False, is_first_iteration=True)
        logits = model(**{**inputs, "logits_to_keep": depth}).logits[:, -depth:]
        for level in range(depth):
            parts[level].append(head(logits[:, level], level))
    return [torch.cat(part).view(batch, count, -1) for part in parts]
