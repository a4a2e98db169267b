"""Beam search over the item trie with one prefill per prompt and the beams as extra tokens of the same row.

`generate` repeats every prompt ``num_beams`` times and copies or reorders its cache at every step. Here the prompt is
computed once. At each level, all live beams of a user are appended as tokens to that user's row. A 4-D attention mask
lets each beam see the prompt and its own ancestors, and the beams of one level share a position id. The cache is only
appended to. Stock decoders accept such masks unchanged; other models use the fallback (`fallback.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from ..evaluation.top_k import best_first
from .added_scores import added_scores
from .beam_tree import BeamTree, projects_itself, tree_obstacle
from .fallback import score_by_forward, search_by_generate
from .item_trie import ItemTrie, ranked_items
from .level_head import NORMALIZATIONS, LevelHead
from .search_bonus import SearchBonus

logger = logging.getLogger(__name__)

# Number of items per prompt that `score_items` scores in one pass.
ITEMS_AT_ONCE = 256
# (model class, reason) of the fallbacks that have been logged.
_logged: set[tuple[str, str]] = set()
_reasons: WeakKeyDictionary[PreTrainedModel, str] = WeakKeyDictionary()


def check_arguments(
    input_ids: torch.Tensor, attention_mask: torch.Tensor, trie: ItemTrie, level_token_ids: Sequence, normalize: str
) -> None:
    """Raise ValueError if the arguments of `recommend_items` or `score_items` are inconsistent."""
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


def _without_peft(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """The transformers model; adapters such as LoRA's are in its layers and stay active."""
    if isinstance(model, PeftModel):
        return cast(PreTrainedModel, model.get_base_model())  # annotated as nn.Module by PEFT
    return model


@contextmanager
def decoding(model: PreTrainedModel | PeftModel) -> Iterator[PreTrainedModel]:
    """Yield the transformers model in evaluation mode (dropout would make scores random); restore the mode on exit."""
    if isinstance(model, PeftModel) and model.active_peft_config.is_prompt_learning:
        raise ValueError("prompt-learning adapters put virtual tokens before the prompt: not supported")
    decoder = _without_peft(model)
    training = [module for module in decoder.modules() if module.training]
    decoder.eval()
    try:
        yield decoder
    finally:
        for module in training:
            module.training = True


def obstacle_to_tree(model: PreTrainedModel, length: int) -> bool:
    """Return whether the fallback is needed for ``length`` tokens of context; log each reason once."""
    reason = tree_obstacle(model, length)
    if reason is None:
        return False
    _reasons[model] = reason
    if (type(model).__name__, reason) not in _logged:
        _logged.add((type(model).__name__, reason))
        logger.warning("%s: %s; decoding without the tree of beams", type(model).__name__, reason)
    return True


def fallback_reason(model: PreTrainedModel | PeftModel) -> str | None:
    """Why `recommend_items` or `score_items` used the fallback for this model; ``None`` if they never did."""
    return _reasons.get(_without_peft(model))


@dataclass(frozen=True)
class _Search:
    """What is searched for, the same at every level.

    Attributes:
        trie: the valid indices.
        normalize: as in `recommend_items`.
        num_beams: how many children to keep per prompt.
        keys: the nodes that must not be entered, from `ItemTrie.excluded_nodes`; ``None``: no node is excluded.
        bonus: scores that are added to items; ``None``: none.
    """

    trie: ItemTrie
    normalize: str
    num_beams: int
    keys: list[torch.Tensor] | None
    bonus: SearchBonus | None

    def expand(
        self, level: int, nodes: torch.Tensor, scores: torch.Tensor, log_probs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Extend the live beams by one level and keep the best children.

        Args:
            level: the level whose codes are chosen, from 0.
            nodes: int64 (batch, beams), the trie node of each beam at depth ``level``; -1 for a dead beam.
            scores: float (batch, beams), the score of each beam.
            log_probs: float (batch, beams, codes of the level), from `LevelHead`.

        Returns:
            child nodes (-1 for dead ones), parents (beam numbers) and codes, int64 (batch, w); scores (batch, w),
            -inf for dead ones. Best first, by score plus the best bonus below; equal ones in the order of the beams
            and codes. At the last level the scores contain the bonus.
        """
        child, code, real = self.trie.children(level, nodes)
        step = log_probs.gather(-1, code)
        if self.normalize == "children":
            # A dead beam has no children, and its total is -inf. -inf - (-inf) would be NaN, so subtract 0: the slots
            # are masked anyway.
            total = step.masked_fill(~real, -torch.inf).logsumexp(-1, keepdim=True)
            step = step - total.masked_fill(torch.isneginf(total), 0)
        if self.keys is not None:
            # Excluded items stay in the normaliser, so that excluding some does not change the scores of the others.
            real = real & ~self.trie.is_excluded(self.keys, level, child)
        totals = scores.unsqueeze(-1) + step
        order = totals if self.bonus is None else totals + self.bonus.best_below(level, child)
        flat = order.masked_fill(~real, -torch.inf).flatten(1)
        best, place = best_first(flat, min(self.num_beams, flat.shape[1]))
        dead = torch.isneginf(best)
        if self.bonus is not None and level + 1 < self.trie.depth:
            best = totals.flatten(1).gather(1, place).masked_fill(dead, -torch.inf)
        picked = child.flatten(1).gather(1, place).masked_fill(dead, -1)
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
    item_bonus: torch.Tensor | None = None,
    repeat_bias: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the best items after each prompt by beam search over the valid indices: LC-Rec's full-ranking generation.

    If the model does not support 4-D masks over the full context, plain `generate` is used and the reason is logged.

    Args:
        model: causal LM, possibly with LoRA-like adapters. It is in evaluation mode during the call.
        input_ids: int64 (batch, length), left-padded prompts after which an index follows.
        attention_mask: int64 (batch, length), 0 at padding and 1 elsewhere.
        trie: the valid indices.
        level_token_ids: per level, int64 (codes,), the vocabulary id of each code.
        num_beams: hypotheses kept per level, at least ``k``.
        k: number of items to return, at least 1.
        normalize: the set over which a step's log-probabilities are normalised: ``vocab`` (the full vocabulary, as in
            `generate`), ``level`` (the codes of the level) or ``children`` (the codes that can follow in the trie).
        allowed: int (m,), the only item rows that may be returned, for all prompts. The search runs on the trie of
            these items, so ``children`` normalises over them. Empty: no item is returned. ``None``: no restriction.
        exclude: per prompt, int item rows that must not be returned; ``None``: none. Prefixes that lead to excluded
            items only are not expanded, so min(num_beams, remaining items) items are still returned. The normaliser
            does not change.
        item_bonus: float (batch, rows), dense or sparse (COO), added to the score of each item row; ``None``: nothing.
            Prefixes are kept by score plus the best bonus below them, so that a high bonus finds an item that the
            search would drop. Memory: a number per prompt and trie node; sparse: per bonus and level.
        repeat_bias: added, in the same way, to the score of every item whose index occurs in the prompt.

    Returns:
        item rows int64 (batch, k), best first, without repeats, -1 where fewer items qualify; scores (batch, k),
        float32 (float64 for float64 models), the sum of the steps' log-probabilities and the item's bonus, -inf at
        padding. Equal scores are in item order.

    Raises:
        ValueError: inconsistent arguments, right-padded prompts, rows in ``allowed`` that are not in the trie, or a
            model whose scores are NaN.
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
    with decoding(model) as decoder:
        dtype = torch.float64 if decoder.dtype == torch.float64 else torch.float32
        options = {"item_bonus": item_bonus, "repeat_bias": repeat_bias, "exclude": exclude}
        bonus = added_scores(input_ids, attention_mask, trie, level_token_ids, dtype, **options)
        if obstacle_to_tree(decoder, input_ids.shape[1] + trie.depth):
            leaves, scores = search_by_generate(
                decoder,
                input_ids,
                attention_mask,
                trie,
                level_token_ids,
                num_beams,
                normalize,
                exclude=exclude,
                bonus=bonus,
            )
            return ranked_items(trie, leaves, scores, k)
        # The bounds of a bonus are -inf where all items below are excluded, which excludes these nodes already.
        keys = None if exclude is None or bonus is not None else trie.excluded_nodes(exclude)
        search = _Search(trie, normalize, num_beams, keys, bonus)
        project = projects_itself(decoder)
        head = LevelHead(decoder, level_token_ids, normalize, project, input_ids.device)
        tree = BeamTree(decoder, input_ids, attention_mask, project)
        state = tree.last
        nodes = torch.zeros(len(input_ids), 1, dtype=torch.long, device=input_ids.device)
        scores = torch.zeros(nodes.shape, dtype=dtype, device=input_ids.device)
        for level in range(trie.depth):
            nodes, parents, codes, scores = search.expand(level, nodes, scores, head(state, level))
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
    item_bonus: torch.Tensor | None = None,
    repeat_bias: float = 0.0,
) -> torch.Tensor:
    """Score given items by teacher forcing; the scores equal those of `recommend_items`.

    Used for LC-Rec's probe of true items against near negatives, and for exhaustive scoring.

    Args:
        model: causal LM, possibly with LoRA-like adapters. It is in evaluation mode during the call.
        input_ids: int64 (batch, length), left-padded prompts after which an index follows.
        attention_mask: int64 (batch, length), 0 at padding and 1 elsewhere.
        trie: the valid indices.
        level_token_ids: per level, int64 (codes,), the vocabulary id of each code.
        item_rows: int64 (batch, m), item rows of the trie, -1 for padding.
        normalize: the set over which a step's log-probabilities are normalised: ``vocab``, ``level`` or ``children``,
            see `recommend_items`.
        item_bonus: float (batch, rows), dense or sparse (COO), added to the score of each item row; ``None``: nothing.
        repeat_bias: added to the score of every item whose index occurs in the prompt.

    Returns:
        (batch, m), float32 (float64 for float64 models), -inf at padding.

    Raises:
        ValueError: inconsistent arguments, or an item that is not in the trie.
    """
    check_arguments(input_ids, attention_mask, trie, level_token_ids, normalize)
    if item_rows.dim() != 2 or len(item_rows) != len(input_ids):
        raise ValueError(f"item_rows must be ({len(input_ids)}, m), got {tuple(item_rows.shape)}")
    trie = trie.to(input_ids.device)
    rows = item_rows.to(input_ids.device)
    codes = trie.codes_of(torch.where(rows < 0, trie.item_rows[0], rows))
    with decoding(model) as decoder:
        dtype = torch.float64 if decoder.dtype == torch.float64 else torch.float32
        tree = head = None
        if not obstacle_to_tree(decoder, input_ids.shape[1] + trie.depth):
            project = projects_itself(decoder)
            head = LevelHead(decoder, level_token_ids, normalize, project, input_ids.device)
            tree = BeamTree(decoder, input_ids, attention_mask, project)
        parts = [torch.empty(len(rows), 0, dtype=dtype, device=rows.device)]
        for chunk in codes.split(ITEMS_AT_ONCE, dim=1) if rows.shape[1] else ():
            if tree is None or head is None:
                steps = score_by_forward(decoder, input_ids, attention_mask, level_token_ids, chunk, normalize)
            else:
                steps = _tree_steps(tree, head, chunk)
            parts.append(_add_up(trie, steps, chunk, normalize).to(dtype))
        options = {"item_bonus": item_bonus, "repeat_bias": repeat_bias}
        bonus = added_scores(input_ids, attention_mask, trie, level_token_ids, dtype, **options)
    scores = torch.cat(parts, dim=1)
    if bonus is not None:
        scores = scores + bonus.best_below(trie.depth - 1, trie.find_leaves(rows))
    return scores.masked_fill(rows < 0, -torch.inf)


def _tree_steps(tree: BeamTree, head: LevelHead, codes: torch.Tensor) -> list[torch.Tensor]:
    """Return what `score_by_forward` returns, with one beam per item; codes int64 (batch, m, levels)."""
    tree.rewind()
    batch, count, depth = codes.shape
    steps = [head(tree.last, 0).expand(-1, count, -1)]
    parents = torch.zeros(batch, count, dtype=torch.long, device=codes.device)
    for level in range(depth - 1):
        steps.append(head(tree.append(head.ids[level][codes[..., level]], parents), level + 1))
        parents = torch.arange(count, device=codes.device).expand(batch, -1)
    return steps


def _add_up(trie: ItemTrie, steps: list[torch.Tensor], codes: torch.Tensor, normalize: str) -> torch.Tensor:
    """Sum the log-probabilities of the items' codes, (batch, m), in the order in which `recommend_items` adds them."""
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
