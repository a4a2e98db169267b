"""Weights of a fusion for items without training interactions, which most of its parts know nothing about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...data.splits import EvalCases, RecSplit
from ...evaluation.conditional_logit import fit_conditional_logit
from ...evaluation.processes import gather_share, process_share
from ...recommender import Recommender
from .candidates import normalized, part_scores, union
from .fit import MIN_CASES, FusionWeights


@dataclass(frozen=True)
class ColdWeights:
    """What was chosen.

    Attributes:
        is_cold: bool (num_items,), the items without training interactions.
        weights: float64 (parts,), of their scores; 0: the part has no say about them.
        bias: added to their scores.
    """

    is_cold: np.ndarray
    weights: np.ndarray
    bias: float


def items_without_interactions(split: RecSplit, num_items: int) -> np.ndarray:
    """Bool (num_items,), the items that no training sequence contains.

    Args:
        split: the split.
        num_items: size of the catalogue.
    """
    return np.bincount(split.train_indices, minlength=num_items) == 0


def check_cold_parts(parts: Mapping[str, Recommender], cold_parts: Mapping[str, Recommender]) -> None:
    """Refuse recommenders that are not those of a fusion, trained with fewer items.

    Args:
        parts: the fusion's, by name.
        cold_parts: those that were trained with further items held out, by the same names.

    Raises:
        ValueError: a name that no part has, another method, or another catalogue.
    """
    for name, cold in cold_parts.items():
        if name not in parts:
            raise ValueError(f"cold_parts: {name!r} is no part of this fusion, which has {', '.join(parts)}")
        if cold.method != parts[name].method:
            raise ValueError(f"cold_parts: {name!r} is a {parts[name].method}, but its cold part a {cold.method}")
        if cold.item_ids != parts[name].item_ids:
            raise ValueError(f"cold_parts: {name!r} has other items than the part, or another order of them")


def fit_cold_weights(
    parts: Mapping[str, Recommender],
    cold_parts: Mapping[str, Recommender],
    known: FusionWeights,
    split: RecSplit,
    cold_split: RecSplit,
    cases: EvalCases,
    *,
    num_candidates: int = 100,
) -> ColdWeights:
    """Learn how items without training interactions compete with those that have some.

    Nobody's next item is a cold one in the validation of ``split``. So some more items are held out from
    ``cold_parts``: about these items they know as little as ``parts`` know about the cold ones. They are candidates
    beside the best other items of all parts, which have their weights already. The weights of ``cold_parts`` and the
    bias make the next items of the users most likely, see `fit_conditional_logit`.

    Args:
        parts: the recommenders by name, trained on ``split``.
        cold_parts: those that have a say about cold items, by the same names, trained on ``cold_split``.
        known: the weights of ``parts`` for the other items.
        split: what ``parts`` were trained on.
        cold_split: the same, with further items held out.
        cases: validation users of ``split``.
        num_candidates: items that each part proposes, and as many held-out items each cold part.

    Raises:
        ValueError: ``cold_split`` holds no further items out, or not those that ``split`` does; or too few validation
            users have a held-out item as the next one.
    """
    check_cold_parts(parts, cold_parts)
    num_items = len(next(iter(parts.values())).item_ids)
    is_cold, without = (items_without_interactions(each, num_items) for each in (split, cold_split))
    held_out = without & ~is_cold
    if not held_out.any() or (is_cold & ~without).any():
        raise ValueError(
            "cold_split must hold out all items that split holds out, and some more: "
            f"{int(is_cold.sum())} items have no training interaction in split, {int(without.sum())} in cold_split"
        )
    gathered = _gather(parts, cold_parts, known, is_cold, held_out, cases, num_candidates)
    has_target = [bool(is_target.any()) for *_, is_target in gathered]
    of_held_out = sum(bool((is_target & is_new).any()) for _, _, is_new, is_target in gathered)
    if of_held_out < MIN_CASES:
        raise ValueError(
            f"the next item of {of_held_out} validation users is a held-out one that the cold parts propose; weights "
            f"for cold items need at least {MIN_CASES} such users"
        )
    width = max(len(scores) for scores, *_ in gathered)
    scores = np.full((len(gathered), width), -np.inf)
    inputs = np.zeros((len(gathered), width, 1 + len(cold_parts)))
    chosen = np.zeros((len(gathered), width), dtype=bool)
    for number, (own, cold, is_new, is_target) in enumerate(gathered):
        place = slice(0, len(own))
        scores[number, place], chosen[number, place] = own, is_target
        inputs[number, place, 0], inputs[number, place, 1:] = is_new, cold
    scale, _, numbers = fit_conditional_logit(scores[has_target], inputs[has_target], chosen[has_target])
    weights = dict(zip(cold_parts, numbers[1:] / scale, strict=True))
    return ColdWeights(is_cold, np.array([weights.get(name, 0.0) for name in parts]), float(numbers[0] / scale))


def _gather(
    parts: Mapping[str, Recommender],
    cold_parts: Mapping[str, Recommender],
    known: FusionWeights,
    is_cold: np.ndarray,
    held_out: np.ndarray,
    cases: EvalCases,
    num_candidates: int,
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Per user the weighted scores of the candidates (0 for held-out ones), the cold parts' scores of held-out ones
    (candidates, cold parts), which candidates are held out, and which one is the next item."""
    share = process_share(len(cases))
    histories, users = [cases.histories[number] for number in share], cases.ids_of_users(share)
    open_rows, held_rows = np.flatnonzero(~is_cold & ~held_out), np.flatnonzero(held_out)
    count = min(num_candidates, len(is_cold))
    ranked = [part.rank(histories, count, user_ids=users, allowed=open_rows) for part in parts.values()]
    best = union([rows for rows, _ in ranked])
    new = union([part.rank(histories, count, user_ids=users, allowed=held_rows)[0] for part in cold_parts.values()])
    scores = part_scores(list(parts.values()), histories, best, users, ranked=ranked)
    together = [np.union1d(*pair) for pair in zip(best, new, strict=True)]
    cold_scores = part_scores(list(cold_parts.values()), histories, together, users)
    weights = known.of_users(np.array([len(history) for history in histories]))
    found = []
    for number, rows in enumerate(together):
        is_new, own = held_out[rows], np.zeros(len(rows))
        own[~is_new] = weights[number] @ normalized(scores[number], scores[number])
        cold = normalized(cold_scores[number], cold_scores[number][:, ~is_new])
        found.append((own, np.where(is_new, cold, 0.0).T, is_new, rows == cases.targets[share[number]]))
    return gather_share(found)
