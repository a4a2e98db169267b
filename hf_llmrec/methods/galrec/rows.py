"""Training examples of GAL-Rec: a user, an item to predict, and the neighbourhoods of both (arXiv 2406.13235)."""

from __future__ import annotations

import zlib

import numpy as np

from ...data.epoch_dataset import EpochDataset
from ...data.graph import InteractionGraph
from ...data.splits import EvalCases, RecSplit
from ...prompting.item_sequences import IGNORE, ItemSequenceDataset
from .neighborhood import item_audience, neighbor_items, neighbor_users
from .prompt import GALRecLayout


class GALRecDataset(EpochDataset):
    """Rows of users' windows; the target is one of a window's items, the history what stands before it.

    Every draw of a row depends on (seed, epoch, user, window) alone. A row has

    - ``input_ids``, ``labels``: the user's sequence, and the item that follows at every hop-1 item and at `[REC]`;
    - ``user_items``: what the own user is known by, the history;

    and, with ``pairs``, for the graph-aware losses

    - ``own_ids``, ``item_ids``, ``item_text_labels``, ``audience_ids``: the segments of E_u^0, E_t^0 and E_t^1;
    - ``user``, ``item``: rows; ``known_items``: the user's items in the graph; ``known_users``: the user and its hop 2;
      ``item_known_users``: the item's users in the graph;
    - ``has_pair``: the target is not in the history (else both sides would hold it); ``has_audience``: E_t^1 has users;
    - ``earlier_pairs``: items of the history, each with ``item``, ``item_ids``, ``item_known_users``, ``known_items``
      as above, and ``user_items``, what stands before it. Their E^0 are short, and a target alone is one edge of many.

    Args:
        split: its training interactions are the examples. graph: of training interactions only.
        layout: makes token ids.
        pairs: whether graph-aware losses are trained.
        audience_size: users of the item in E_t^1, at most.
        edges_per_user: pairs of (E_u^0, E_t^0) in a row, at most: the target's, and of items of the history.
        history_targets: whether L_rec is taken at every item of the history, too, not at `[REC]` alone.
        latest_share: probability that the target is the window's last item; else it is any of them but the first.
        item_dropout: probability with which an item of a window is left out in an epoch.
        neighbor_dropout: probability with which a row has no neighbours, as in serving without a graph.
        seed: of all draws.
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
        """int64 (rows,), items of each user's window that are targets; the same in every epoch.

        Batches are sized by them: counting neighbours and words, too, would put fewer targets into batches of short
        histories, and give each of them more weight.
        """
        return self.windows.lengths(epoch) if self.history_targets else np.ones(len(self), dtype=np.int64)

    def build(self, slot: int, epoch: int) -> dict[str, np.ndarray | int | bool]:
        """Row ``slot`` of ``epoch``."""
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
        row = {
            "input_ids": ids,
            "labels": next_item_labels(self.layout, ids, target, last_only=not self.history_targets),
            "user_items": history,
        }
        if self.pairs:
            row |= self._pair(user, target, history, neighbors, rng)
            row["earlier_pairs"] = []
            if self.edges_per_user > 1:
                # Draws of its own: those before depend on the graph, and an earlier pair is an edge of it.
                rng = np.random.default_rng((*key, 1))
                row["earlier_pairs"] = self._earlier_pairs(user, history, row["known_items"], rng)
        return row

    def _draw_target(self, slot: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        items = self.items[self.windows.starts[slot] : self.windows.stops[slot]].astype(np.int64)
        if self.item_dropout > 0:
            keep = rng.random(len(items)) >= self.item_dropout
            if keep.sum() >= 2:
                items = items[keep]
        last = len(items) - 1
        place = last if rng.random() < self.latest_share else int(rng.integers(1, last + 1))
        return items[:place], int(items[place])

    def _pair(self, user, target, history, neighbors, rng) -> dict[str, np.ndarray | int | bool]:
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
            # With the example's own edge added: what is masked must not depend on whether the graph has it.
            "known_items": np.append(self.graph.user_items.of(user), target),
            "known_users": known_users,
            "item_known_users": np.append(self.graph.item_users.of(target), user),
            "has_pair": bool(target not in history),
            "has_audience": bool(len(audience)),
        }

    def _earlier_pairs(self, user: int, history, known_items, rng) -> list[dict[str, np.ndarray | int]]:
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
    """Labels of a user's sequence, int64 (length,): after each hop-1 item the next one, ``target`` after the last of
    them and at `[REC]`; -100 elsewhere.

    Args:
        last_only: at `[REC]` alone.
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
        cases: what to predict. graph: of training interactions; ``None``: nobody has neighbours.
        layout: makes token ids.
    """

    def __init__(self, cases: EvalCases, graph: InteractionGraph | None, layout: GALRecLayout):
        super().__init__()
        self.cases, self.graph, self.layout = cases, graph, layout

    def __len__(self) -> int:
        return len(self.cases)

    def lengths(self, epoch: int) -> np.ndarray:
        """int64 (rows,), items of the histories."""
        return np.array([len(self.cases.histories[i]) for i in range(len(self.cases))], dtype=np.int64)

    def build(self, slot: int, epoch: int) -> dict[str, np.ndarray]:
        """Row ``slot``."""
        user = int(self.cases.user_rows[slot])
        ids, history = served_sequence(self.layout, self.cases.histories[slot], self.graph, user=user)
        labels = next_item_labels(self.layout, ids, int(self.cases.targets[slot]), last_only=True)
        return {"input_ids": ids, "labels": labels, "user_items": history}


def served_sequence(
    layout: GALRecLayout, history: np.ndarray, graph: InteractionGraph | None, *, user: int = -1
) -> tuple[np.ndarray, np.ndarray]:
    """A history as the model reads it when it recommends: (token ids int64 (length,), user_items int64 (n,)).

    The neighbours are drawn by the history alone: who asks again gets the same answer.

    Args:
        history: int (n,) item rows, oldest first. graph: gives the neighbours; ``None``: none.
        user: the history's own row in the graph, nobody's neighbour; -1 if unknown.
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
