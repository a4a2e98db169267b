"""Recommenders of one catalogue, asked side by side."""

from __future__ import annotations

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
from .reasons import Neighbor, code_tree, neighbors_read
from .title_search import TitleSearch

MAX_HISTORY, MAX_WISH, MAX_ITEMS = 50, 200, 20


@dataclass(frozen=True)
class Answer:
    """What one recommender says.

    Attributes:
        name: of the recommender. rows, scores: of the items, best first.
        codes: per item its index. trees: per item its shared codes, see `code_tree`. Both are ``None`` for
            recommenders without an index.
        neighbors: whom it read; ``None`` for recommenders without neighbours. has_graph: whether it could have any.
        reads_wishes: whether it has a use for a wish.
    """

    name: str
    rows: list[int]
    scores: list[float]
    codes: list[str] | None = None
    trees: list | None = None
    neighbors: list[Neighbor] | None = None
    has_graph: bool = False
    reads_wishes: bool = False


class Shop:
    """Recommenders over one catalogue.

    Args:
        recommenders: pipelines by the name that is shown.

    Raises:
        ValueError: none, or recommenders of different catalogues.
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
    def load(cls, sources: Sequence[str]) -> Shop:
        """Recommenders by their folders or Hub ids; of two of one method, the names are those of the sources."""
        methods = [load_settings(source)["method"] for source in sources]
        named = {}
        for source, method in zip(sources, methods, strict=True):
            alone = methods.count(method) == 1
            named[METHODS[method]["title"] if alone else str(source)] = pipeline("recommendation", model=str(source))
        return cls(named)

    @property
    def index(self) -> ItemIndex | None:
        """The item index of the first recommender that has one."""
        found = (each.recommender for each in self.recommenders.values())
        return next((each.tokenizer.item_index for each in found if isinstance(each, LCRecRecommender)), None)

    @property
    def reads_wishes(self) -> bool:
        """Whether any recommender has a use for a wish."""
        return any(each.recommender.supports_query for each in self.recommenders.values())

    def known(self, item_ids: Sequence[str]) -> list[str]:
        """Those item ids that are in the catalogue, the latest `MAX_HISTORY` of them."""
        return [item for item in item_ids if item in self.row][-MAX_HISTORY:]

    def recommend(self, item_ids: Sequence[str], wish: str = "", count: int = 10) -> list[Answer]:
        """What each recommender says after a history, none of whose items it is asked for again.

        Args:
            item_ids: oldest first; unknown ones are left out.
            wish: free text, for recommenders that read wishes; the others read the history alone.
            count: how many items, 1 to `MAX_ITEMS`.
        """
        history, wish = self.known(item_ids), " ".join(wish.split())[:MAX_WISH]
        count = max(1, min(int(count), MAX_ITEMS, len(self.item_ids)))
        return [self._ask(name, each, history, wish, count) for name, each in self.recommenders.items()]

    def _ask(self, name: str, recommender: RecommendationPipeline, history: list[str], wish: str, count: int) -> Answer:
        ranker = recommender.recommender
        reads_wishes = ranker.supports_query
        request = {"history": history, "exclude": history, **({"query": wish} if wish and reads_wishes else {})}
        found = recommender(request, top_k=count)
        rows, bought = [self.row[each["item_id"]] for each in found], [self.row[item] for item in history]
        codes = trees = neighbors = None
        if isinstance(ranker, LCRecRecommender):
            index = ranker.tokenizer.item_index
            codes = ["".join(index.item_tokens(row)) for row in rows]
            trees = [code_tree(index, row, bought) for row in rows]
        if isinstance(ranker, GALRecRecommender):
            neighbors = neighbors_read(ranker, bought)
        has_graph = getattr(ranker, "graph", None) is not None
        return Answer(name, rows, [each["score"] for each in found], codes, trees, neighbors, has_graph, reads_wishes)

    def sample_history(self, length: int = 4, rng: random.Random | None = None) -> list[str]:
        """A history to start from: any item, then each time one of five that the last recommender likes best."""
        rng, recommender = rng or random.Random(), list(self.recommenders.values())[-1]
        history = [rng.choice(self.item_ids)]
        while len(history) < min(length, len(self.item_ids)):
            likely = recommender({"history": history, "exclude": history}, top_k=5)
            history.append(rng.choice(likely)["item_id"])
        return history
