"""The HTML of the demo. It is generated in this module only, and all text of a catalogue or a user is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from ..data.item_index import ItemIndex
from .reasons import CodeNode, Neighbor
from .shop import Answer, Shop
from .title_words import distinctive_words

_SHOWN_NEIGHBORS, _SHOWN_ITEMS = 5, 3


class Pages:
    """Renders the parts of the page that are HTML.

    Args:
        shop: the recommenders and the catalogue to show.
    """

    def __init__(self, shop: Shop):
        self.shop = shop
        self._tiles = [] if shop.index is None else _tiles(shop.index, shop.titles)

    def title(self, row: int) -> str:
        """The title of an item, escaped; its id if it has no title.

        Args:
            row: row of the item.
        """
        return escape(" ".join(self.shop.titles[row].split()) or self.shop.item_ids[row])

    def answer(self, answer: Answer, wish: str) -> str:
        """The panel of one recommender.

        Args:
            answer: the recommender's answer.
            wish: the user's wish; "" without one.
        """
        parts = [f"<h3>{escape(answer.name)}</h3>"]
        if wish and not answer.reads_wishes:
            parts.append('<p class="note">It reads histories alone: the wish plays no part here.</p>')
        if not answer.rows:
            parts.append('<p class="note">No item is left to recommend.</p>')
        items = []
        for place, (row, score) in enumerate(zip(answer.rows, answer.scores, strict=True)):
            lines = [
                f'<span class="score">{score:.2f}</span><span class="rank">{place + 1}</span>{self.title(row)}',
                self._why(answer, place),
            ]
            items.append(f'<li class="rec" data-item="{escape(self.shop.item_ids[row])}">{"".join(lines)}</li>')
        parts.append(f"<ol>{''.join(items)}</ol>")
        if answer.neighbors is not None:
            parts.append(self._neighbors(answer))
        return f'<div class="rec-panel">{"".join(parts)}</div>'

    def _why(self, answer: Answer, place: int) -> str:
        row = answer.rows[place]
        if answer.codes is not None and answer.trees is not None:
            tree = answer.trees[place]
            if tree is None:
                tokens = escape(answer.codes[place])
                return f'<div class="note">shares no code with the history: <code>{tokens}</code></div>'
            return f"<details open><summary>codes shared with the history</summary>{self._tree(tree, row)}</details>"
        if answer.neighbors:
            count = sum(row in each.others for each in answer.neighbors)
            return f'<div class="note">{count} of the {len(answer.neighbors)} neighbours have it</div>'
        return ""

    def _tree(self, node: CodeNode, item: int) -> str:
        return f'<ul class="code-tree">{self._branch(node, item)}</ul>'

    def _branch(self, node: CodeNode, item: int) -> str:
        names = [f"<b>{self.title(row)}</b>" if row == item else self.title(row) for row in node.rows]
        below = "".join(self._branch(child, item) for child in node.children)
        label = f"<code>{escape(''.join(node.tokens))}</code> {', '.join(names)}"
        return f"<li>{label}{f'<ul>{below}</ul>' if below else ''}</li>"

    def _neighbors(self, answer: Answer) -> str:
        if not answer.has_graph:
            return '<p class="note">It was published without its graph: it read the history alone.</p>'
        if not answer.neighbors:
            return '<p class="note">Nobody has an item of this history: it read the history alone.</p>'
        shown = "".join(f"<li>{self._neighbor(each)}</li>" for each in answer.neighbors[:_SHOWN_NEIGHBORS])
        more = len(answer.neighbors) - _SHOWN_NEIGHBORS
        rest = f"<li>and {more} more</li>" if more > 0 else ""
        title = f"{len(answer.neighbors)} neighbours that it read"
        return f'<details class="neighbors"><summary>{title}</summary><ul class="note">{shown}{rest}</ul></details>'

    def _neighbor(self, neighbor: Neighbor) -> str:
        others = f"; and {self._titles(neighbor.others)}" if neighbor.others else ""
        return f"has {self._titles(neighbor.shared)} too{others}"

    def _titles(self, rows: Sequence[int]) -> str:
        more = len(rows) - _SHOWN_ITEMS
        names = [f"<i>{self.title(row)}</i>" for row in rows[:_SHOWN_ITEMS]]
        return ", ".join([*names, f"{more} more"] if more > 0 else names)

    def map(self, history: Iterable[str] = (), answers: Sequence[Answer] = ()) -> str:
        """The catalogue by first code: one tile per code, whose width grows with its number of items.

        Args:
            history: item ids; the tiles of their codes are marked as bought.
            answers: answers of recommenders; the tiles of their items are marked as recommended.
        """
        index = self.shop.index
        if index is None:
            return '<p class="note">No recommender here has an item index.</p>'
        bought = {int(index.codes[self.shop.row[item], 0]) for item in history}
        recommended = {int(index.codes[row, 0]) for each in answers for row in each.rows}
        shown = []
        for code, tile in self._tiles:
            kinds = [name for name, codes in (("bought", bought), ("recommended", recommended)) if code in codes]
            shown.append(f'<div class="{" ".join(kinds)}" {tile}</div>')
        return f'<div class="code-map">{"".join(shown)}</div>'


def _tiles(index: ItemIndex, titles: Sequence[str]) -> list[tuple[int, str]]:
    """First codes by descending number of items, each with the HTML of its tile after the attribute ``class``."""
    words = distinctive_words(titles, index.codes[:, 0])
    codes, rows, counts = np.unique(index.codes[:, 0], return_index=True, return_counts=True)
    tiles = []
    for place in np.argsort(-counts, kind="stable").tolist():
        code, count = int(codes[place]), int(counts[place])
        keywords = escape(" ".join(words.get(code, ())))
        label = f"<code>{escape(index.item_tokens(int(rows[place]))[0])}</code> {keywords}"
        tiles.append((code, f'style="flex-grow:{count}" title="{count} items: {keywords}">{label}'))
    return tiles
