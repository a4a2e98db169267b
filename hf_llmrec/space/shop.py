"""Several recommenders over one catalogue."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import pipeline

from ..data.item_index import ItemIndex
from ..data.recommender_folder import load_settings
from ..hub.model_card import METHODS
from ..methods.galrec.recommender import GALRecRecommender
from ..methods.lcrec.recommender import LCRecRecommender
from ..pipelines.recommendation import RecommendationPipeline
from .reasons import CodeNode, Neighbor, code_tree, neighbors_read
from .title_search import TitleSearch

MAX_HISTORY, MAX_WISH, MAX_ITEMS = 50, 200, 20


@dataclass(frozen=True)
class Answer:
    """The answer of one recommender.

    Attributes:
        name: name of the recommender.
        rows: rows of the recommended items, best first.
        scores: scores of the items.
        codes: index tokens of each item; ``None`` for recommenders without an index.
        trees: codes that each item shares with the history, see `code_tree`; ``None`` for recommenders without an
            index.
        neighbors: neighbours that the recommender read; ``None`` for recommenders that read no neighbours.
        has_graph: whether the recommender has a graph of users and items, without which it has no neighbours.
        reads_wishes: whether the recommender reads a wish.
    """

    name: str
    rows: list[int]
    scores: list[float]
    codes: list[str] | None = None
    trees: list[CodeNode | None] | None = None
    neighbors: list[Neighbor] | None = None
    has_graph: bool = False
    reads_wishes: bool = False


class Shop:
    """Recommenders over one catalogue.

    Args:
        recommenders: pipelines by displayed name; the first one determines the titles.

    Attributes:
        item_ids: item ids of the catalogue, in row order.
        titles: titles of the items.
        row: row of each item id.
        search: search over the titles.

    Raises:
        ValueError: there is no recommender, or the recommenders have different catalogues.
    """

    def __init__(self, recommenders: dict[str, RecommendationPipeline]):
        if not recommenders:
            raise ValueError("there is no recommender to show")
        self.recommenders = recommenders
        (first, *others) = recommenders.items()
        catalog = first[1].recommender.catalog
        for name, other in others:
            if other.recommender.catalog.item_ids != catalog.item_ids:
                raise ValueError(f"{name} and {first[0]} recommend from different catalogues")
        self.item_ids, self.titles = catalog.item_ids, catalog.titles
        self.row = {item: row for row, item in enumerate(self.item_ids)}
        self.search = TitleSearch(self.item_ids, self.titles)

    @classmethod
    def load(cls, sources: Sequence[str | os.PathLike]) -> Shop:
        """Load recommenders. They are named by their methods, or by their sources if two have the same method.

        Args:
            sources: folders or Hub ids.
        """
        methods = [load_settings(source)["method"] for source in sources]
        recommenders = {}
        for source, method in zip(sources, methods, strict=True):
            name = METHODS[method]["title"] if methods.count(method) == 1 else str(source)
            recommenders[name] = pipeline(
                "recommendation",  # pyright: ignore[reportArgumentType, reportCallIssue]  # the stub: built-in tasks only
                model=str(source),
            )
        return cls(recommenders)

    @property
    def index(self) -> ItemIndex | None:
        """The item index of the first recommender that has one."""
        rankers = (each.recommender for each in self.recommenders.values())
        return next((each.tokenizer.item_index for each in rankers if isinstance(each, LCRecRecommender)), None)

    @property
    def reads_wishes(self) -> bool:
        """Whether any recommender reads a wish."""
        return any(each.recommender.supports_query for each in self.recommenders.values())

    def in_catalogue(self, item_ids: Sequence[str]) -> list[str]:
        """The latest `MAX_HISTORY` of the item ids that are in the catalogue.

        Args:
            item_ids: oldest first.
        """
        return [item for item in item_ids if item in self.row][-MAX_HISTORY:]

    def recommend(self, item_ids: Sequence[str], wish: str = "", count: int = 10) -> list[Answer]:
        """The answer of each recommender to a history; items of the history are excluded.

        Args:
            item_ids: the history, oldest first; ids that are not in the catalogue are left out.
            wish: free text for recommenders that read wishes; the others read the history alone.
            count: number of items to recommend, 1 to `MAX_ITEMS`; other numbers are clipped.
        """
        history, wish = self.in_catalogue(item_ids), " ".join(wish.split())[:MAX_WISH]
        count = max(1, min(int(count), MAX_ITEMS, len(self.item_ids)))
        return [self._ask(name, each, history, wish, count) for name, each in self.recommenders.items()]

    def _ask(self, name: str, recommender: RecommendationPipeline, history: list[str], wish: str, count: int) -> Answer:
        ranker = recommender.recommender
        reads_wishes = ranker.supports_query
        request = {"history": history, "exclude": history, **({"query": wish} if wish and reads_wishes else {})}
        items = recommender(request, top_k=count)
        rows, history_rows = [self.row[each["item_id"]] for each in items], [self.row[item] for item in history]
        codes = trees = neighbors = None
        if isinstance(ranker, LCRecRecommender):
            index = ranker.tokenizer.item_index
            codes = ["".join(index.item_tokens(row)) for row in rows]
            trees = [code_tree(index, row, history_rows) for row in rows]
        if isinstance(ranker, GALRecRecommender):
            neighbors = neighbors_read(ranker, history_rows)
        has_graph = getattr(ranker, "graph", None) is not None
        return Answer(name, rows, [each["score"] for each in items], codes, trees, neighbors, has_graph, reads_wishes)

    def sample_history(self, length: int = 4, rng: random.Random | None = None) -> list[str]:
        """Draw a random history: any item, then repeatedly one of the last recommender's five best.

        Args:
            length: number of items.
            rng: random number generator; ``None``: one with a random seed.
        """
        rng, recommender = rng or random.Random(), list(self.recommenders.values())[-1]
        history = [rng.choice(self.item_ids)]
        while len(history) < min(length, len(self.item_ids)):
            likely = recommender({"history": history, "exclude": history}, top_k=5)
            history.append(rng.choice(likely)["item_id"])
        return history
