"""Fits the repeat bias of a text encoder on training interactions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ...data.splits import RecSplit
from ...evaluation.logit_intercept import fit_intercept
from ..dense_recommender import pad_histories
from .modeling_text_encoder import REPEAT_SCALE, TextEncoderModel

# Bound of the bias, beyond which the order of items no longer changes.
_LARGEST = 50.0
# Training users whose last item it is fitted on.
MAX_USERS = 500


@torch.no_grad()
def set_repeat_bias(
    model: TextEncoderModel, split: RecSplit, user_vectors: Callable[[Sequence[np.ndarray]], np.ndarray]
) -> None:
    """Set the repeat bias of a model to the best one for the last training items of a fixed sample of users.

    Args:
        model: changed in place, if it has a repeat bias.
        split: its training interactions are used.
        user_vectors: returns the vectors of histories, float32 (n, d), of unit length.
    """
    users = np.flatnonzero(np.diff(split.train_indptr) > 1)
    if model.repeat_bias is None or not len(users):
        return
    if len(users) > MAX_USERS:
        users = np.sort(np.random.default_rng(0).choice(users, MAX_USERS, replace=False))
    sequences = [split.train_sequence(int(user)) for user in users]
    targets = torch.tensor([int(each[-1]) for each in sequences])
    histories = pad_histories([each[:-1] for each in sequences], model.config.num_items)
    vectors = torch.from_numpy(user_vectors([each[:-1] for each in sequences]))
    scores = vectors @ model.item_vectors().float().cpu().T / model.config.score_temperature
    marked = torch.zeros(len(users), model.config.num_items + 1, dtype=torch.bool)
    seen = marked.scatter_(1, histories, True)[:, :-1]
    model.repeat_bias.fill_(best_repeat_bias(scores, seen, targets) / REPEAT_SCALE)


def best_repeat_bias(scores: torch.Tensor, seen: torch.Tensor, targets: torch.Tensor) -> float:
    """The number that maximises the likelihood of next items, if it is added to the scores of each history's items.

    With it, the mean probability of the items of the history is the share of next items that are among them. One repeat
    and one new item are added to what was observed, so that the number is finite.

    Args:
        scores: float (n, num_items), without the bias.
        seen: bool (n, num_items), the items of each history.
        targets: int64 (n,), the next items.

    Returns:
        the bias, between -50 and 50.
    """
    repeats = seen.gather(1, targets.unsqueeze(1)).sum().item()
    share = (repeats + 1) / (len(targets) + 2)
    again = scores.double().masked_fill(~seen, -torch.inf).logsumexp(1)
    new = scores.double().masked_fill(seen, -torch.inf).logsumexp(1)
    return fit_intercept((again - new).numpy(), share * len(targets), _LARGEST)
