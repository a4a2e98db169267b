"""Reasons for recommendations that the models' inputs show: shared index codes, and neighbours in the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..data.graph import InteractionGraph
from ..data.item_index import ItemIndex
from ..methods.galrec.recommender import GALRecRecommender


@dataclass
class CodeNode:
    """A node of a tree of index codes.

    Attributes:
        tokens: index tokens on the way from the parent; several if nothing branches off in between.
        rows: item rows whose codes end at this node.
        children: child nodes.
    """

    tokens: list[str]
    rows: list[int] = field(default_factory=list)
    children: list[CodeNode] = field(default_factory=list)


def code_tree(index: ItemIndex, item: int, history: Sequence[int]) -> CodeNode | None:
    """The codes that an item shares with a history: the tree of the item and all items that share its first code.

    Args:
        index: the item index.
        item: row of the item.
        history: item rows.

    Returns:
        The root of the tree; ``None`` if no item of the history shares the first code.
    """
    first = index.codes[item, 0]
    rows = [row for row in dict.fromkeys([*history, item]) if index.codes[row, 0] == first]
    if rows == [item]:
        return None
    return _grow(index, rows, 0)


def _grow(index: ItemIndex, rows: list[int], level: int) -> CodeNode:
    node = CodeNode([])
    while level < index.levels and len({index.codes[row, level] for row in rows}) == 1:
        node.tokens.append(index.item_tokens(rows[0])[level])
        level += 1
    if level == index.levels:
        node.rows = rows
        return node
    for code in dict.fromkeys(int(index.codes[row, level]) for row in rows):
        node.children.append(_grow(index, [row for row in rows if index.codes[row, level] == code], level))
    return node


@dataclass(frozen=True)
class Neighbor:
    """A neighbouring user whose items GAL-Rec read in addition to the history.

    Attributes:
        shared: rows of the items that are in the history.
        others: rows of the other items.
    """

    shared: list[int]
    others: list[int]


def neighbors_read(ranker: GALRecRecommender, history: Sequence[int]) -> list[Neighbor]:
    """The neighbours that a GAL-Rec model reads for a history.

    Args:
        ranker: the recommender; without a graph it reads no neighbours.
        history: item rows, oldest first.
    """
    if ranker.graph is None:
        return []
    return [_neighbor(ranker.graph, user, history) for user in ranker.neighbors(np.asarray(history, dtype=np.int64))]


def _neighbor(graph: InteractionGraph, user: int, history: Sequence[int]) -> Neighbor:
    items = graph.user_items.of(int(user)).tolist()
    chosen = set(history)
    return Neighbor([item for item in items if item in chosen], [item for item in items if item not in chosen])
