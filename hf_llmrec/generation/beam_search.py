"""Beam search over the item trie with one prefill per prompt and the beams as extra tokens of the same row.

`generate` repeats every prompt ``num_beams`` times and copies or reorders its cache at every step. Here the prompt is
computed once. At each level all live beams of a user are fed as further tokens of that user's row; a 4-D attention mask
shows each beam the prompt and its own ancestors, and beams of one level share a position id. The cache is only appended
to. Stock decoders take such masks as they are; for the others there is a fallback.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import numpy as np
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from ..evaluation.top_k import best_first
from .beam_tree import BeamTree, projects_itself, tree_obstacle
from .fallback import recommend_by_generate, score_by_forward
from .item_trie import ItemTrie, ranked_items
from .level_head import NORMALIZATIONS, LevelHead

logger = logging.getLogger(__name__)

# Items scored at once per prompt by `score_items`.
ITEMS_AT_ONCE = 256
_told: set[tuple[str, str]] = set()
_reasons: WeakKeyDictionary[PreTrainedModel, str] = WeakKeyDictionary()


def check_arguments(
    input_ids: torch.Tensor, attention_mask: torch.Tensor, trie: ItemTrie, level_token_ids: Sequence, normalize: str
) -> None:
    """Raise ValueError for arguments that make no sense together."""
    if normalize not in NORMALIZATIONS:
        raise ValueError(f"normalize must be one of {NORMALIZATIONS}, got {normalize!r}")
    if len(level_token_ids) != trie.depth:
        raise ValueError(f"level_token_ids has {len(level_token_ids)} levels, the trie {trie.depth}")
    for level, (edges, ids) in enumerate(zip(trie.levels, level_token_ids, strict=True)):
        if edges.num_codes > len(ids):
            raise ValueError(f"level {level} of the trie uses {edges.num_codes} codes, level_token_ids has {len(ids)}")
    if input_ids.shape != attention_mask.shape or input_ids.dim() != 2 or not input_ids.numel():
        raise ValueError(
            f"input_ids {tuple(input_ids.shape)} and attention_mask {tuple(attention_mask.shape)} must both be "
            "(batch, length), not empty"
        )
    if not attention_mask[:, -1].all() or (attention_mask[:, 1:] < attention_mask[:, :-1]).any():
        raise ValueError("prompts must be left-padded and have a token: attention_mask must read 0...01...1")


@contextmanager
def decoding(model: PreTrainedModel | PeftModel):
    """The transformers model inside, in evaluation mode: dropout would make scores random."""
    if isinstance(model, PeftModel):
        if model.active_peft_config.is_prompt_learning:
            raise ValueError("prompt-learning adapters put virtual tokens before the prompt: not supported")
        model = model.get_base_model()  # adapters live in its layers
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield model
    finally:
        for module in training:
            module.training = True


def obstacle_to_tree(model: PreTrainedModel, length: int) -> bool:
    """Whether the fallback is needed; says why, once for each reason."""
    reason = tree_obstacle(model, length)
    if reason is None:
        return False
    _reasons[model] = reason
    if (type(model).__name__, reason) not in _told:
        _told.add((type(model).__name__, reason))
        logger.warning("%s: %s; decoding without the tree of beams", type(model).__name__, reason)
    return True


def fallback_reason(model: PreTrainedModel | PeftModel) -> str | None:
    """Why `recommend_items` or `score_items` went without the tree of beams for a model; ``None``: it never did."""
    return _reasons.get(model.get_base_model() if isinstance(model, PeftModel) else model)


def expand(
    trie: ItemTrie,
    level: int,
    nodes: torch.Tensor,
    scores: torch.Tensor,
    log_probs: torch.Tensor,
    normalize: str,
    num_beams: int,
    keys: list[torch.Tensor] | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Best children of the live beams.

    Args:
        nodes: int64 (batch, beams), -1 dead. scores: (batch, beams). log_probs: (batch, beams, codes of the level).
        keys: nodes that may not be entered, from `ItemTrie.bar`, or ``None``.

    Returns:
        child nodes (-1 dead), parents (beam numbers), codes: int64 (batch, w); scores (batch, w), best first, -inf for
        dead ones. Equal scores keep the order of the beams and codes.
    """
    child, code, real = trie.children(level, nodes)
    step = log_probs.gather(-1, code)
    if normalize == "children":
        # Dead beams have no child, and -inf - (-inf) is no number: their real slots are none, so any number will do.
        total = step.masked_fill(~real, -torch.inf).logsumexp(-1, keepdim=True)
        step = step - total.masked_fill(torch.isneginf(total), 0)
    if keys is not None:
        # Excluded items still count in the normaliser: what one user may not see does not change other items' scores.
        real = real & ~trie.barred(keys, level, child)
    flat = (scores.unsqueeze(-1) + step).masked_fill(~real, -torch.inf).flatten(1)
    best, place = best_first(flat, min(num_beams, flat.shape[1]))
    picked = child.flatten(1).gather(1, place).masked_fill(torch.isneginf(best), -1)
    return picked, place // child.shape[-1], code.flatten(1).gather(1, place), best


@torch.no_grad()
def recommend_items(
    model: PreTrainedModel | PeftModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    trie: ItemTrie,
    level_token_ids: Sequence,
    *,
    num_beams: int = 20,
    k: int = 10,
    normalize: str = "level",
    allowed: np.ndarray | None = None,
    exclude: Sequence[np.ndarray] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The best items after each prompt by beam search over the valid indices: LC-Rec's full-ranking generation.

    Args:
        model: causal LM, or one with LoRA-like adapters. Put in evaluation mode for the call.
        input_ids, attention_mask: int64 (batch, length), left-padded prompts after which an index follows.
        trie: the valid indices.
        level_token_ids: per level int64 (codes,), the vocabulary id of each code.
        num_beams: hypotheses kept per level, at least ``k``.
        k: items to return.
        normalize: over what a step's log-probabilities are normalised: ``vocab`` (the whole vocabulary, as `generate`
            does), ``level`` (the codes of the level) or ``children`` (the codes that can follow in the trie).
        allowed: int (m,) the only item rows that may be returned, for the whole batch. The search runs on their trie,
            so ``children`` normalises over them. Empty: no item is returned.
        exclude: per prompt, int item rows that must not be returned. A prefix leads nowhere once all its items are
            excluded, so min(num_beams, items left) items are found all the same. The normaliser does not change.

    Returns:
        item rows int64 (batch, k), best first, no item twice, -1 where fewer items qualify; scores (batch, k), float32
        (float64 for float64 models), the sum of the steps' log-probabilities, -inf at padding. Equal scores are in item
        order.

    Raises:
        ValueError: arguments that do not fit each other, right-padded prompts, unknown rows in ``allowed``, a model
            whose scores are not numbers.

    Where the model cannot take 4-D masks over the whole context, plain `generate` is used, and a log line says why.
    """
    check_arguments(input_ids, attention_mask, trie, level_token_ids, normalize)
    if k < 1 or num_beams < k:
        raise ValueError(f"num_beams ({num_beams}) must be at least k ({k}), and k at least 1")
    if exclude is not None and len(exclude) != len(input_ids):
        raise ValueError(f"exclude has {len(exclude)} entries for {len(input_ids)} prompts")
    if allowed is not None and not len(allowed):
        rows = torch.full((len(input_ids), k), -1, device=input_ids.device)
        return rows, torch.full(rows.shape, -torch.inf, device=input_ids.device)
    trie = (trie if allowed is None else trie.restrict(allowed)).to(input_ids.device)
    with decoding(model) as model:
        if obstacle_to_tree(model, input_ids.shape[1] + trie.depth):
            return recommend_by_generate(
                model, input_ids, attention_mask, trie, level_token_ids, num_beams, k, normalize, exclude
            )
        keys = None if exclude is None else trie.bar(exclude)
        project = projects_itself(model)
        head = LevelHead(model, level_token_ids, normalize, project, input_ids.device)
        tree = BeamTree(model, input_ids, attention_mask, project)
        state = tree.last
        nodes = torch.zeros(len(input_ids), 1, dtype=torch.long, device=input_ids.device)
        dtype = torch.float64 if model.dtype == torch.float64 else torch.float32
        scores = torch.zeros(nodes.shape, dtype=dtype, device=input_ids.device)
        for level in range(trie.depth):
            log_probs = head(state, level)
            nodes, parents, codes, scores = expand(trie, level, nodes, scores, log_probs, normalize, num_beams, keys)
            if level + 1 < trie.depth:
                state = tree.append(head.ids[level][codes], parents)
        return ranked_items(trie, nodes, scores, k)


@torch.no_grad()
def score_items(
    model: PreTrainedModel | PeftModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    trie: ItemTrie,
    level_token_ids: Sequence,
    item_rows: torch.Tensor,
    *,
    normalize: str = "level",
) -> torch.Tensor:
    """Scores of given items by teacher forcing, those that `recommend_items` gives them.

    This serves LC-Rec's probe of true items against near negatives, and exhaustive scoring.

    Args:
        item_rows: int64 (batch, m) item rows of the trie, -1 for padding. Others: see `recommend_items`.

    Returns:
        (batch, m), float32 (float64 for float64 models), -inf at padding.

    Raises:
        ValueError: arguments that do not fit each other, or an item that is not in the trie.
    """
    check_arguments(input_ids, attention_mask, trie, level_token_ids, normalize)
    if item_rows.dim() != 2 or len(item_rows) != len(input_ids):
        raise ValueError(f"item_rows must be ({len(input_ids)}, m), got {tuple(item_rows.shape)}")
    trie = trie.to(input_ids.device)
    rows = item_rows.to(input_ids.device)
    codes = trie.codes_of(torch.where(rows < 0, trie.item_rows[0], rows))
    with decoding(model) as model:
        dtype = torch.float64 if model.dtype == torch.float64 else torch.float32
        fallback = obstacle_to_tree(model, input_ids.shape[1] + trie.depth)
        if not fallback:
            project = projects_itself(model)
            head = LevelHead(model, level_token_ids, normalize, project, input_ids.device)
            tree = BeamTree(model, input_ids, attention_mask, project)
        parts = [torch.empty(len(rows), 0, dtype=dtype, device=rows.device)]
        for chunk in codes.split(ITEMS_AT_ONCE, dim=1) if rows.shape[1] else ():
            if fallback:
                steps = score_by_forward(model, input_ids, attention_mask, level_token_ids, chunk, normalize)
            else:
                steps = _tree_steps(tree, head, chunk)
            parts.append(_add_up(trie, steps, chunk, normalize).to(dtype))
    return torch.cat(parts, dim=1).masked_fill(rows < 0, -torch.inf)


def _tree_steps(tree: BeamTree, head: LevelHead, codes: torch.Tensor) -> list[torch.Tensor]:
    """`score_by_forward`'s result with every item a beam of its own; codes int64 (batch, m, levels)."""
    tree.rewind()
    batch, count, depth = codes.shape
    steps = [head(tree.last, 0).expand(-1, count, -1)]
    parents = torch.zeros(batch, count, dtype=torch.long, device=codes.device)
    for level in range(depth - 1):
        steps.append(head(tree.append(head.ids[level][codes[..., level]], parents), level + 1))
        parents = torch.arange(count, device=codes.device).expand(batch, -1)
    return steps


def _add_up(trie: ItemTrie, steps: list[torch.Tensor], codes: torch.Tensor, normalize: str) -> torch.Tensor:
    """Sum of the picked log-probabilities (batch, m), in the order of `recommend_items`."""
    nodes = torch.zeros(codes.shape[:-1], dtype=torch.long, device=codes.device)
    total = torch.zeros(nodes.shape, dtype=steps[0].dtype, device=codes.device)
    for level, log_probs in enumerate(steps):
        step = log_probs.gather(-1, codes[..., level : level + 1]).squeeze(-1)
        if normalize == "children":
            _, child_codes, real = trie.children(level, nodes)
            step = step - log_probs.gather(-1, child_codes).masked_fill(~real, -torch.inf).logsumexp(-1)
        total = total + step
        nodes = trie.step(level, nodes, codes[..., level])
    return total
