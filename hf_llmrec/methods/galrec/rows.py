"""Training examples of GAL-Rec: a user, the item to predict, and the neighbourhoods of both (arXiv 2406.13235)."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from ...data.epoch_dataset import EpochDataset
from ...data.graph import InteractionGraph
from ...data.splits import EvalCases, RecSplit
from ...prompting.item_sequences import IGNORE, ItemSequenceDataset
from .neighborhood import item_audience, neighbor_items, neighbor_users
from .prompt import GALRecLayout


class GALRecDataset(EpochDataset):
    """Training rows: in a window of a user's items, one is the target, and those before it are the history.

    The random draws of a row depend on (seed, epoch, user, window) alone. A row has

    - ``input_ids``, ``labels``: the user's sequence, and the item that follows each hop-1 item and `[REC]`;
    - ``user_items``: the items that represent the own user, which are the history;

    and, with ``pairs``, for the graph-aware losses

    - ``own_ids``, ``item_ids``, ``item_text_labels``, ``audience_ids``: the segments of E_u^0, E_t^0 and E_t^1;
    - ``user``, ``item``: rows; ``known_items``: the user's items in the graph; ``known_users``: the user and its hop 2;
      ``item_known_users``: the item's users in the graph;
    - ``has_pair``: the target is not in the history (otherwise both sides would hold it); ``has_audience``: E_t^1 has
      users;
    - ``earlier_pairs``: items of the history, each with ``item``, ``item_ids``, ``item_known_users``, ``known_items``
      as above, and ``user_items``, the history before it. Their E^0 are short, and the target is only one edge of many.

    Args:
        split: its training interactions are the examples.
        graph: of training interactions only.
        layout: converts rows into token ids.
        pairs: whether rows have what the graph-aware losses need.
        audience_size: maximum number of users of the item in E_t^1.
        edges_per_user: maximum number of pairs (E_u^0, E_t^0) in a row: that of the target, and those of items of the
            history.
        history_targets: whether L_rec is computed at every item of the history, too, or at `[REC]` alone.
        latest_share: probability that the target is the window's last item; otherwise it is any item but the first.
        item_dropout: probability of leaving an item of a window out in an epoch.
        neighbor_dropout: probability that a row has no neighbours, as when serving without a graph.
        seed: of all random draws.

    Raises:
        ValueError: a probability outside [0, 1].
    """

    def __init__(
        self,
        split: RecSplit,
        graph: InteractionGraph,
        layout: GALRecLayout,
        *,
        pairs: bool = True,
        audience_size: int = 8,
        edges_per_user: int = 1,
        history_targets: bool = True,
        latest_share: float = 0.5,
        item_dropout: float = 0.0,
        neighbor_dropout: float = 0.0,
        seed: int = 0,
    ):
        super().__init__()
        for name, value in {
            "latest_share": latest_share,
            "item_dropout": item_dropout,
            "neighbor_dropout": neighbor_dropout,
        }.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {value}")
        self.graph, self.layout, self.pairs, self.seed = graph, layout, pairs, seed
        self.audience_size, self.edges_per_user, self.latest_share = audience_size, edges_per_user, latest_share
        self.item_dropout, self.neighbor_dropout = item_dropout, neighbor_dropout
        self.history_targets = history_targets
        self.windows = ItemSequenceDataset(split, max_length=layout.prompt.max_history)
        self.items = split.train_indices
        self.users = np.searchsorted(split.train_indptr, self.windows.starts, side="right") - 1

    def __len__(self) -> int:
        return len(self.windows)

    def lengths(self, epoch: int) -> np.ndarray:
        """Number of targets of each row, the same in every epoch.

        Batches are sized by it: if neighbours and words counted, too, batches of short histories would have fewer
        targets, and each of these more weight.

        Args:
            epoch: from 0.

        Returns:
            int64 (rows,).
        """
        return self.windows.lengths(epoch) if self.history_targets else np.ones(len(self), dtype=np.int64)

    def build(self, slot: int, epoch: int) -> dict[str, Any]:
        """Build a row, whose fields the class lists.

        Args:
            slot: number of the row, from 0.
            epoch: from 0.
        """
        user, prompt = int(self.users[slot]), self.layout.prompt
        key = (self.seed, epoch, user, int(self.windows.starts[slot]))
        rng = np.random.default_rng(key)
        history, target = self._draw_target(slot, rng)
        neighbors = further = np.zeros(0, dtype=np.int64)
        if prompt.hops > 1 and rng.random() >= self.neighbor_dropout:
            order = prompt.neighbor_order
            neighbors = neighbor_users(self.graph, history, prompt.num_neighbors, rng, user=user, order=order)
            if prompt.hops > 2:
                further = neighbor_items(self.graph, neighbors, history, prompt.num_neighbor_items, rng)
        ids = self.layout.user_sequence(history, neighbors, further)
        row: dict[str, Any] = {
            "input_ids": ids,
            "labels": next_item_labels(self.layout, ids, target, last_only=not self.history_targets),
            "user_items": history,
        }
        if self.pairs:
            row |= self._pair(user, target, history, neighbors, rng)
            row["earlier_pairs"] = []
            if self.edges_per_user > 1:
                # A generator of its own: the draws so far depend on the graph, and an earlier pair is an edge of it.
                rng = np.random.default_rng((*key, 1))
                row["earlier_pairs"] = self._earlier_pairs(user, history, row["known_items"], rng)
        return row

    def _draw_target(self, slot: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        """Draw the history and the target from a window."""
        items = self.items[self.windows.starts[slot] : self.windows.stops[slot]].astype(np.int64)
        if self.item_dropout > 0:
            keep = rng.random(len(items)) >= self.item_dropout
            if keep.sum() >= 2:
                items = items[keep]
        last = len(items) - 1
        place = last if rng.random() < self.latest_share else int(rng.integers(1, last + 1))
        return items[:place], int(items[place])

    def _pair(
        self, user: int, target: int, history: np.ndarray, neighbors: np.ndarray, rng: np.random.Generator
    ) -> dict[str, Any]:
        """What the graph-aware losses need of a user and the target."""
        known_users = np.append(neighbors, user)
        audience = item_audience(self.graph, target, self.audience_size, rng, without=known_users)
        item_ids, text_labels = self.layout.item_segment(target)
        return {
            "own_ids": self.layout.own_segment(),
            "item_ids": item_ids,
            "item_text_labels": text_labels,
            "audience_ids": self.layout.audience_segment(audience),
            "user": user,
            "item": target,
            # The example's own edge is added: what is masked must not depend on whether the graph has it.
            "known_items": np.append(self.graph.user_items.of(user), target),
            "known_users": known_users,
            "item_known_users": np.append(self.graph.item_users.of(target), user),
            "has_pair": bool(target not in history),
            "has_audience": bool(len(audience)),
        }

    def _earlier_pairs(
        self, user: int, history: np.ndarray, known_items: np.ndarray, rng: np.random.Generator
    ) -> list[dict[str, Any]]:
        """What `user_to_item` needs of a user and items of the history."""
        places = [place for place in range(1, len(history)) if history[place] not in history[:place]]
        if len(places) >= self.edges_per_user:
            places = np.sort(rng.choice(places, size=self.edges_per_user - 1, replace=False)).tolist()
        return [
            {
                "item": item,
                "item_ids": self.layout.item_segment(item)[0],
                "user_items": history[:place],
                "known_items": np.append(known_items, item),
                "item_known_users": np.append(self.graph.item_users.of(item), user),
            }
            for place, item in zip(places, history[places].tolist(), strict=True)
        ]


def next_item_labels(layout: GALRecLayout, ids: np.ndarray, target: int, *, last_only: bool = False) -> np.ndarray:
    """Labels of a user's sequence: at each hop-1 item the next one, at the last of them and at `[REC]` the target.

    Args:
        layout: that built the sequence.
        ids: int64 (length,), the sequence.
        target: item row.
        last_only: label `[REC]` alone.

    Returns:
        int64 (length,), item rows, -100 where there is no label.
    """
    first = layout.first_item_id
    labels = np.full(len(ids), IGNORE)
    labels[-1] = target  # a sequence ends with [REC]
    if not last_only:
        end = int((ids == layout.ids["USER_1"]).argmax())
        places = ((ids[:end] >= first) & (ids[:end] < layout.first_user_id)).nonzero()[0]
        labels[places[:-1]] = ids[places[1:]] - first
        labels[places[-1:]] = target
    return labels


class GALRecEvalDataset(EpochDataset):
    """Rows of evaluation cases, with a label at `[REC]` only and no pairs.

    Args:
        cases: histories and targets.
        graph: of training interactions; ``None``: rows have no neighbours.
        layout: converts rows into token ids.
    """

    def __init__(self, cases: EvalCases, graph: InteractionGraph | None, layout: GALRecLayout):
        super().__init__()
        self.cases, self.graph, self.layout = cases, graph, layout

    def __len__(self) -> int:
        return len(self.cases)

    def lengths(self, epoch: int) -> np.ndarray:
        """Number of items of each history, int64 (rows,); the same in every epoch."""
        return np.array([len(self.cases.histories[i]) for i in range(len(self.cases))], dtype=np.int64)

    def build(self, slot: int, epoch: int) -> dict[str, np.ndarray]:
        """Build a row with ``input_ids``, ``labels`` and ``user_items``; the same in every epoch."""
        user = int(self.cases.user_rows[slot])
        ids, history = served_sequence(self.layout, self.cases.histories[slot], self.graph, user=user)
        labels = next_item_labels(self.layout, ids, int(self.cases.targets[slot]), last_only=True)
        return {"input_ids": ids, "labels": labels, "user_items": history}


def served_sequence(
    layout: GALRecLayout, history: np.ndarray, graph: InteractionGraph | None, *, user: int = -1
) -> tuple[np.ndarray, np.ndarray]:
    """Build the sequence that the model reads when it recommends.

    The neighbours are drawn with a seed that depends on the history alone, so equal requests get equal answers.

    Args:
        layout: converts rows into token ids.
        history: int (n,), item rows, oldest first.
        graph: gives the neighbours; ``None``: no neighbours.
        user: row of the history's own user in the graph, who is not sampled as a neighbour; -1: not in the graph.

    Returns:
        The token ids int64 (length,), and the items that represent the own user, int64 (m,): the latest of the history.
    """
    prompt = layout.prompt
    history = np.asarray(history, dtype=np.int64)[-prompt.max_history :]
    neighbors = further = np.zeros(0, dtype=np.int64)
    if graph is not None and prompt.hops > 1:
        rng = np.random.default_rng(zlib.crc32(history.tobytes()))
        order = prompt.neighbor_order
        neighbors = neighbor_users(graph, history, prompt.num_neighbors, rng, user=user, order=order)
        if prompt.hops > 2:
            further = neighbor_items(graph, neighbors, history, prompt.num_neighbor_items, rng)
    return layout.user_sequence(history, neighbors, further), history
