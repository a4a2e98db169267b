"""L_rec: the cross-entropy of the next item, at positions of the history and at `[REC]` (section 4.3)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from .configuration_galrec import GALRecConfig
from .entity_layers import REPEAT_SCALE, ItemScorer, contained, first_occurrences


def left_aligned(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions of the true entries of each row, in order.

    Args:
        mask: bool (b, length).

    Returns:
        places int64 (b, k) and valid bool (b, k), k the largest count (at least 1). Places that are not valid are
        arbitrary positions.
    """
    counts = mask.sum(1, keepdim=True)
    width = max(int(counts.max()), 1)
    places = (~mask).int().argsort(dim=1, stable=True)[:, :width]
    return places, torch.arange(places.shape[1], device=mask.device) < counts


def history_items(input_ids: torch.Tensor, config: GALRecConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """The hop-1 items of users' sequences: item tokens before the first read-out.

    Args:
        input_ids: int64 (b, length).
        config: of the model, for its token ids.

    Returns:
        The item rows int64 (b, k), padded with ``num_items``, and their positions in the sequence int64 (b, k), padded
        with ``length``.
    """
    first = config.first_item_id
    is_item = (input_ids >= first) & (input_ids < config.first_user_id)
    before = (input_ids == config.special_token_ids["USER_1"]).cumsum(1) == 0
    places, valid = left_aligned(is_item & before)
    items = input_ids.gather(1, places) - first
    return items.masked_fill(~valid, config.num_items), places.masked_fill(~valid, input_ids.shape[1])


def _rows_of(valid: torch.Tensor) -> torch.Tensor:
    """The row of each of the n true entries, int64 (n,)."""
    return valid.nonzero()[:, 0]


class NextItemLoss:
    """Compute L_rec of a batch of users' sequences.

    Args:
        config: of the model.
        scorer: scores items after states.
        vectors: called with item rows int64 (m,), or ``None`` for all items; returns their vectors, float (m, d).
    """

    def __init__(
        self, config: GALRecConfig, scorer: ItemScorer, vectors: Callable[[torch.Tensor | None], torch.Tensor]
    ):
        self.config, self.scorer, self.vectors = config, scorer, vectors

    def __call__(
        self,
        input_ids: torch.Tensor,
        history: tuple[torch.Tensor, torch.Tensor],
        hidden: torch.Tensor,
        labels: torch.Tensor,
        sampled: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy of every labelled position.

        Args:
            input_ids: int64 (b, length).
            history: item rows and positions of the histories, from `history_items`.
            hidden: float (b, length, d), states of the language model.
            labels: int64 (b, length), the item row that follows a position, -100 where there is none.
            sampled: softmax over the target, the history and negatives instead of over the catalogue.

        Returns:
            The losses float32 (n,), and whether each is that of `[REC]`, bool (n,).
        """
        places, valid = left_aligned(labels != -100)
        states = hidden.gather(1, places.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
        targets = labels.gather(1, places).masked_fill(~valid, 0)
        at_rec = (input_ids.gather(1, places) == self.config.special_token_ids["REC"])[valid]
        items, item_places = history
        # An item counts once, at its first occurrence: every prefix that holds a later occurrence holds the first, too.
        is_first = first_occurrences(items) & (items < self.config.num_items)
        seen = is_first.unsqueeze(1) & (item_places.unsqueeze(1) <= places.unsqueeze(2))
        scores = self._sampled if sampled else self._full
        own, others = scores(states, targets, items, seen, valid)
        total = others.logsumexp(-1)
        return (torch.logaddexp(own, total) if sampled else total) - own, at_rec

    def _full(self, states, targets, items, seen, valid):
        """Scores of the targets, float (n,), and of the full catalogue, float (n, num_items)."""
        scores = self.scorer(states[valid], self.vectors(None))
        if self.scorer.repeat_bias is not None:
            seen = seen[valid]
            rows, columns = seen.nonzero(as_tuple=True)
            bias = (REPEAT_SCALE * self.scorer.repeat_bias.float()).expand(len(rows))
            scores = scores.index_put((rows, items[_rows_of(valid)[rows], columns]), bias, accumulate=True)
        return scores.gather(1, targets[valid].unsqueeze(1)).squeeze(1), scores

    def _sampled(self, states, targets, items, seen, valid):
        """Scores of the targets, float (n,), and of the other candidates, float (n, negatives + history)."""
        config = self.config
        negatives = torch.randint(config.num_items, (config.num_negatives,), device=targets.device)
        # One pass through the mapping layers for the vectors of all candidates.
        rows, place = torch.unique(
            torch.cat([negatives, targets.reshape(-1), items.clamp_max(config.num_items - 1).reshape(-1)]),
            return_inverse=True,
        )
        vectors = F.embedding(place, self.vectors(rows))
        of_negatives, of_targets, of_items = vectors.split([len(negatives), targets.numel(), items.numel()])
        of_targets, of_items = of_targets.view(*targets.shape, -1), of_items.view(*items.shape, -1)
        again = (items.unsqueeze(1) == targets.unsqueeze(2)) & seen
        own = self.scorer(states.unsqueeze(2), of_targets.unsqueeze(2), again.any(2)[..., None, None])[..., 0, 0]
        drawn = self.scorer(states[valid], of_negatives) - math.log(config.num_negatives / config.num_items)
        # Items of the history are always candidates, so that their bias is learned; sampled negatives must not repeat
        # them.
        excluded = negatives == targets[valid].unsqueeze(1)
        if self.scorer.repeat_bias is None:
            return own[valid], drawn.masked_fill(excluded, -torch.inf)
        excluded = excluded | contained(negatives, items)[_rows_of(valid)]
        history = self.scorer(states, of_items, torch.ones((), dtype=torch.bool, device=states.device))
        history = history.masked_fill(~seen | again, -torch.inf)[valid]
        return own[valid], torch.cat([drawn.masked_fill(excluded, -torch.inf), history], dim=1)
