"""Ranks by GAL-Rec: one forward pass per history scores the whole catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedModel

from ...data.graph import InteractionGraph
from ...data.graph_files import load_graph
from ...data.model_folder import check_tokenizer_files
from ...data.recommender_folder import ItemCatalog, load_settings
from ...evaluation.batches import evaluation_mode, rank_in_batches
from ...evaluation.top_k import rank_dense_scores
from ...recommender import FolderRanker
from ..dense_recommender import pad_histories
from .prompt import GALRecLayout, GALRecPrompt
from .rows import served_sequence


class GALRecRanker(FolderRanker):
    """A GAL-Rec model behind the ranking interface. A history is enough; neighbours are read where there is a graph.

    Args:
        model: `GALRecModel`, or one that holds it.
        layout: makes the token ids, as in training.
        item_ids: the catalogue, in the model's row order.
        batch_size: histories scored at once.
        graph: where neighbours come from, see `attach_graph`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        layout: GALRecLayout,
        item_ids: Sequence[str],
        *,
        batch_size: int = 256,
        graph: InteractionGraph | None = None,
    ):
        self.model, self.layout, self.max_history = model.base_model, layout, layout.prompt.max_history
        self.item_ids, self.batch_size = list(item_ids), batch_size
        if self.model.config.num_items != len(self.item_ids):
            raise ValueError(
                f"the model scores {self.model.config.num_items} items, the catalogue has {len(self.item_ids)}"
            )
        self.graph: InteractionGraph | None = None
        self.user_rows: dict[str, int] = {}
        if graph is not None:
            self.attach_graph(graph)

    @classmethod
    def from_model(cls, model, path_or_hub_id, where, *, tokenizer=None, **options) -> GALRecRanker:
        settings = load_settings(path_or_hub_id, **where)
        catalog = ItemCatalog.load(path_or_hub_id, **where)
        changed = {name: options.pop(name) for name in ("max_history",) if options.get(name) is not None}
        prompt = GALRecPrompt(**{**settings["prompt"], **changed})
        if tokenizer is None:
            check_tokenizer_files(Path(path_or_hub_id) / where.get("subfolder", ""), "model")
            tokenizer = AutoTokenizer.from_pretrained(path_or_hub_id, **where)
        layout = GALRecLayout(prompt, model.config, tokenizer, catalog.titles)
        graph = load_graph(path_or_hub_id, **where) if settings.get("graph") else None
        values = {name: value for name, value in options.items() if value is not None}
        return cls(model, layout, catalog.item_ids, graph=graph, **values)

    def attach_graph(self, graph: InteractionGraph, user_ids: Sequence[str] = ()) -> None:
        """Read neighbours from ``graph``, whose users are known by their items.

        Args:
            graph: of the model's catalogue.
            user_ids: of its users, by row. A user that is asked for by one of them is not its own neighbour.

        Raises:
            ValueError: a graph of another number of items.
        """
        if graph.num_items != len(self.item_ids):
            raise ValueError(f"the graph has {graph.num_items} items, the model {len(self.item_ids)}")
        adjacency = graph.user_items
        self.model.set_graph_users(torch.from_numpy(adjacency.indices), torch.from_numpy(adjacency.indptr))
        self.graph, self.user_rows = graph, {user: row for row, user in enumerate(user_ids)}

    def detach_graph(self) -> None:
        """Read histories alone."""
        self.graph, self.user_rows = None, {}

    def neighbors(self, history: np.ndarray, *, user_id: str | None = None) -> np.ndarray:
        """Rows in the graph, int64 (n,), of a history's neighbours as `rank` reads them; none without a graph.

        Args:
            history: int (m,) item rows, oldest first. user_id: whose it is, if the graph knows.
        """
        user = -1 if user_id is None else self.user_rows.get(user_id, -1)
        ids, _ = served_sequence(self.layout, history, self.graph, user=user)
        return ids[ids >= self.layout.first_user_id] - self.layout.first_user_id

    def rank(self, histories, k, *, user_ids=None, exclude=None, allowed=None):
        users = [-1] * len(histories) if user_ids is None else [self.user_rows.get(user, -1) for user in user_ids]
        read = [
            served_sequence(self.layout, histories[number], self.graph, user=user) for number, user in enumerate(users)
        ]

        def rank_batch(batch, left_out):
            dense = self._scores([read[number] for number in batch])
            return rank_dense_scores(dense, k, exclude=left_out, allowed=allowed)

        with evaluation_mode(self.model):
            return rank_in_batches(rank_batch, [len(ids) for ids, _ in read], k, self.batch_size, exclude)

    @torch.no_grad()
    def _scores(self, read: list[tuple[np.ndarray, np.ndarray]]) -> torch.Tensor:
        device = self.model.item_external.device
        input_ids = pad_histories([ids for ids, _ in read], 0).to(device)
        user_items = pad_histories([items for _, items in read], -1).to(device)
        return self.model.score_prompts(input_ids, user_items)
