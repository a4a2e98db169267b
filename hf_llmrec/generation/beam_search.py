"""Beam search over the item trie with one prefill per prompt and the beams as extra tokens of the same row.

`generate` repeats every prompt ``num_beams`` times and copies or reorders its cache at every step. Here the prompt is
computed once. At each level all live beams of a user are fed as further tokens of that user's row; a 4-D attention mask
shows each beam the prompt and its own ancestors, and beams of one level share a position id. The cache is only appended
to. Stock decoders take such masks as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F
from transformers import DynamicCache, PreTrainedModel

from .fallback import recommend_by_generate, tree_obstacle
from .item_trie import ItemTrie, pad_result

logger = logging.getLogger(__name__)

NORMALIZATIONS = ("vocab", "level", "children")
_told: set[str] = set()


def check_arguments(trie: ItemTrie, level_token_ids: Sequence, num_beams: int, k: int, normalize: str) -> None:
    """Raise ValueError for options that make no sense together."""
    if normalize not in NORMALIZATIONS:
        raise ValueError(f"normalize must be one of {NORMALIZATIONS}, got {normalize!r}")
    if k < 1 or num_beams < k:
        raise ValueError(f"num_beams ({num_beams}) must be at least k ({k}), and k at least 1")
    if len(level_token_ids) != trie.depth:
        raise ValueError(f"level_token_ids has {len(level_token_ids)} levels, the trie {trie.depth}")


class LevelHead:
    """Log-probabilities of the codes of one level from hidden states, projecting only what is needed.

    Args:
        model: a causal LM whose output embedding is a linear layer.
        level_token_ids: per level int64 (codes,).
        normalize: see `recommend_items`.
    """

    def __init__(self, model: PreTrainedModel, level_token_ids: Sequence[torch.Tensor], normalize: str):
        head = model.get_output_embeddings()
        self.weight, self.bias = head.weight, getattr(head, "bias", None)
        self.ids = [torch.as_tensor(ids, dtype=torch.long, device=self.weight.device) for ids in level_token_ids]
        self.normalize = normalize
        self.softcap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)

    def __call__(self, hidden: torch.Tensor, level: int) -> torch.Tensor:
        """``hidden`` (..., width) -> log-probabilities (..., codes of the level), float32 or wider.

        With ``children`` these are plain logits: the caller normalises over the children it knows.
        """
        ids = self.ids[level]
        rows = None if self.normalize == "vocab" else ids
        weight = self.weight if rows is None else self.weight[rows]
        bias = self.bias if rows is None or self.bias is None else self.bias[rows]
        logits = F.linear(hidden, weight, bias)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if self.softcap:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        if self.normalize == "vocab":
            # The picked logits minus one number per row: cheaper than a log-softmax over the whole vocabulary.
            return logits[..., ids] - logits.logsumexp(-1, keepdim=True)
        return logits if self.normalize == "children" else logits.log_softmax(-1)


def expand(
    trie: ItemTrie,
    level: int,
    nodes: torch.Tensor,
    scores: torch.Tensor,
    log_probs: torch.Tensor,
    normalize: str,
    num_beams: int,
    barred: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Best children of the live beams.

    Args:
        nodes: int64 (batch, beams), -1 dead. scores: (batch, beams). log_probs: (batch, beams, codes of the level).
        barred: int64 (batch, m) child nodes that may not be entered, or ``None``.

    Returns:
        child nodes, parents (beam numbers), codes: int64 (batch, w); scores (batch, w), best first, -inf for dead ones.
        Equal scores keep the order of the beams and codes.
    """
    child, code, real = trie.children(level, nodes)
    step = log_probs.gather(-1, code)
    if normalize == "children":
        # Excluded items still count in the normaliser: what one user may not see does not change other scores.
        step = step.masked_fill(~real, -torch.inf)
        step = (step - step.logsumexp(-1, keepdim=True)).masked_fill(~real, -torch.inf)
    total = (scores.unsqueeze(-1) + step).masked_fill(~real, -torch.inf)
    if barred is not None and barred.shape[1]:
        hit = (child.unsqueeze(-1) == barred[:, None, None, :]).any(-1)
        total = total.masked_fill(hit, -torch.inf)
    flat = total.flatten(1)
    width = min(num_beams, flat.shape[1])
    best, place = flat.sort(dim=1, descending=True, stable=True)  # topk would break ties as it likes
    best, place = best[:, :width], place[:, :width]
    dead = torch.isneginf(best)
    picked = child.flatten(1).gather(1, place).masked_fill(dead, -1)
    return picked, place // child.shape[-1], code.flatten(1).gather(1, place), best


class BeamTree:
    """The growing rows of one batch: prompts, then every level's beams.

    Args:
        model: any stock decoder that takes 4-D masks. input_ids, attention_mask: int64 (batch, length), left-padded.
    """

    def __init__(self, model: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor):
        self.model, self.prompt_mask = model, attention_mask.bool()
        self.lengths = attention_mask.sum(1)
        self.dtype = model.get_input_embeddings().weight.dtype
        # A plain cache keeps everything: no layer may trim what later beams still look at.
        self.cache = DynamicCache()
        positions = (attention_mask.cumsum(1) - 1).clamp_min(0)
        full = bool(self.prompt_mask.all())
        output = model.base_model(
            input_ids=input_ids,
            attention_mask=None if full else attention_mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        )
        self.last_hidden = output.last_hidden_state[:, -1:]
        self.appended = 0
        self.ancestors = torch.empty(input_ids.shape[0], 1, 0, dtype=torch.long, device=input_ids.device)

    def append(self, token_ids: torch.Tensor, parents: torch.Tensor, depth: int) -> torch.Tensor:
        """Feed one token per beam; hidden states (batch, beams, width).

        Args:
            token_ids: int64 (batch, beams). parents: int64 (batch, beams), beam of the previous level each one follows.
            depth: how many tokens lie between the prompt and this one.
        """
        batch, beams = token_ids.shape
        history = self.ancestors.gather(1, parents.unsqueeze(-1).expand(-1, -1, self.ancestors.shape[-1]))
        own = torch.arange(self.appended, self.appended + beams, device=token_ids.device)
        self.ancestors = torch.cat([history, own.expand(batch, -1).unsqueeze(-1)], dim=-1)
        self.appended += beams
        visible = torch.zeros(batch, beams, self.appended, dtype=torch.bool, device=token_ids.device)
        visible.scatter_(-1, self.ancestors, True)
        visible = torch.cat([self.prompt_mask.unsqueeze(1).expand(-1, beams, -1), visible], dim=-1)
        # Additive, since eager attention adds the mask; every row sees at least itself, so no row is all -inf.
        mask = torch.zeros(visible.shape, dtype=self.dtype, device=visible.device)
        mask.masked_fill_(~visible, torch.finfo(self.dtype).min)
        output = self.model.base_model(
            input_ids=token_ids,
            attention_mask=mask.unsqueeze(1),
            position_ids=(self.lengths + depth).unsqueeze(1).expand(-1, beams),
            past_key_values=self.cache,
            use_cache=True,
        )
        return output.last_hidden_state


@torch.no_grad()
def recommend_items(
    model: PreTrainedModel,
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
    """The best items after each prompt by beam search over the valid indices (full ranking).

    Args:
        model: causal LM in evaluation mode.
        input_ids, attention_mask: int64 (batch, length), left-padded prompts after which an index follows.
        trie: the valid indices.
        level_token_ids: per level int64 (codes,), the vocabulary id of each code.
        num_beams: hypotheses kept per level, at least ``k``.
        k: items to return.
        normalize: over what a step's log-probabilities are normalised: ``vocab`` (the whole vocabulary, as `generate`
            does), ``level`` (the codes of the level) or ``children`` (the codes that can follow).
        allowed: item rows that may be returned, for the whole batch.
        exclude: per prompt, item rows that must not be returned. A prefix leads nowhere once all its items are barred.

    Returns:
        item rows int64 (batch, k), best first, no item twice, -1 where fewer items qualify; scores (batch, k), float32
        (float64 for float64 models), the sum of the steps' log-probabilities, -inf at padding.

    Where the model cannot take 4-D masks over the whole context, plain `generate` is used, and a log line says why.
    """
    check_arguments(trie, level_token_ids, num_beams, k, normalize)
    trie = (trie if allowed is None else trie.restrict(allowed)).to(input_ids.device)
    obstacle = tree_obstacle(model, input_ids.shape[1] + trie.depth)
    if obstacle is not None:
        if obstacle not in _told:
            _told.add(obstacle)
            logger.warning(
                "%s: %s; decoding with generate() instead of the tree of beams", type(model).__name__, obstacle
            )
        return recommend_by_generate(
            model, input_ids, attention_mask, trie, level_token_ids, num_beams, k, normalize, exclude
        )
    barred = None if exclude is None else trie.barred_nodes(list(exclude))
    head = LevelHead(model, level_token_ids, normalize)
    tree = BeamTree(model, input_ids, attention_mask)
    hidden = tree.last_hidden
    nodes = torch.zeros(input_ids.shape[0], 1, dtype=torch.long, device=input_ids.device)
    scores = torch.zeros(nodes.shape, dtype=torch.float64 if hidden.dtype == torch.float64 else torch.float32)
    scores = scores.to(input_ids.device)
    for level in range(trie.depth):
        log_probs = head(hidden, level)
        nodes, parents, codes, scores = expand(
            trie, level, nodes, scores, log_probs, normalize, num_beams, None if barred is None else barred[level]
        )
        if level + 1 < trie.depth:
            hidden = tree.append(head.ids[level][codes], parents, level)
    return pad_result(trie, nodes, scores, k)


@torch.no_grad()
def score_items(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    trie: ItemTrie,
    level_token_ids: Sequence,
    item_rows: torch.Tensor,
    *,
    normalize: str = "level",
) -> torch.Tensor:
    """Scores of given items by teacher forcing, as `recommend_items` would score them; (batch, m).

    Args:
        item_rows: int64 (batch, m) item rows of the trie. Others: see `recommend_items`.

    Raises:
        ValueError: the model cannot take 4-D masks, or an item is not in the trie.
    """
    check_arguments(trie, level_token_ids, 1, 1, normalize)
    trie = trie.to(input_ids.device)
    obstacle = tree_obstacle(model, input_ids.shape[1] + trie.depth)
    if obstacle is not None:
        raise ValueError(f"{type(model).__name__}: {obstacle}: items cannot be scored as a tree")
    codes = trie.codes_of(item_rows)
    head, tree = LevelHead(model, level_token_ids, normalize), BeamTree(model, input_ids, attention_mask)
    hidden = tree.last_hidden.expand(-1, item_rows.shape[1], -1)
    nodes = torch.zeros_like(item_rows)
    parents = torch.zeros_like(item_rows)
    total = torch.zeros(item_rows.shape, dtype=torch.float64, device=item_rows.device)
    for level in range(trie.depth):
        log_probs = head(hidden, level)
        step = log_probs.gather(-1, codes[..., level : level + 1]).squeeze(-1)
        if normalize == "children":
            _, child_codes, real = trie.children(level, nodes)
            step = step - log_probs.gather(-1, child_codes).masked_fill(~real, -torch.inf).logsumexp(-1)
        total += step
        nodes = trie.step(level, nodes, codes[..., level])
        if level + 1 < trie.depth:
            hidden = tree.append(head.ids[level][codes[..., level]], parents, level)
            parents = torch.arange(item_rows.shape[1], device=item_rows.device).expand_as(item_rows)
    return total
