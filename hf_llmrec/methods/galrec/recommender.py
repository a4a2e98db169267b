"""Ranks by GAL-Rec: one forward pass per history scores the whole catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ...data.graph import InteractionGraph
from ...data.graph_files import load_graph, save_graph
from ...data.model_folder import check_tokenizer_files
from ...data.recommender_folder import ItemCatalog
from ...evaluation.batches import evaluation_mode, rank_in_batches, score_in_batches
from ...evaluation.top_k import rank_dense_scores
from ...recommender import Recommender
from ..dense_recommender import check_catalog_size, pad_histories
from .prompt import GALRecLayout, GALRecPrompt
from .rows import served_sequence


class GALRecRecommender(Recommender):
    """A GAL-Rec model behind the ranking interface. A history is enough; neighbours are read where there is a graph.

    Args:
        model: `GALRecModel`, or one that holds it.
        layout: makes the token ids, as in training.
        catalog: see `Recommender`.
        batch_size: histories scored at once.
        graph: where neighbours come from, see `attach_graph`.
        tokenizer: of the backbone, saved with the model; ``None``: the template has no words.
        include_graph: save and publish the graph with the model (rows, no user ids).
    """

    method = "galrec"
    # With its heads, so that a model that is saved again can be trained again.
    auto_class = AutoModelForCausalLM

    def __init__(
        self,
        model: PreTrainedModel,
        layout: GALRecLayout,
        catalog: ItemCatalog | Sequence[str],
        *,
        batch_size: int = 256,
        graph: InteractionGraph | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        include_graph: bool = False,
    ):
        super().__init__(model, catalog)
        check_catalog_size(model, self.item_ids)
        self.layout, self.max_history, self.batch_size = layout, layout.prompt.max_history, batch_size
        self.tokenizer, self.include_graph = tokenizer, include_graph
        self.graph: InteractionGraph | None = None
        self.user_rows: dict[str, int] = {}
        if graph is not None:
            self.attach_graph(graph)

    @classmethod
    def _from_folder(cls, model, settings, catalog, path_or_hub_id, where, *, tokenizer=None, **options):
        changed = {name: options.pop(name) for name in ("max_history",) if name in options}
        prompt = GALRecPrompt(**{**settings["prompt"], **changed})
        if tokenizer is None:
            check_tokenizer_files(Path(path_or_hub_id) / where.get("subfolder", ""), "model")
            tokenizer = AutoTokenizer.from_pretrained(path_or_hub_id, **where)
        layout = GALRecLayout(prompt, model.config, tokenizer, catalog.titles)
        graph = load_graph(path_or_hub_id, **where) if settings.get("graph") else None
        return cls(model, layout, catalog, graph=graph, tokenizer=tokenizer, include_graph=graph is not None, **options)

    @property
    def trunk(self) -> PreTrainedModel:
        """The `GALRecModel` that scores, without the heads of training."""
        return self.model.base_model

    def settings(self):
        return {"prompt": self.layout.prompt.to_dict(), "graph": self._saved_graph is not None}

    def _save_model(self, folder):
        super()._save_model(folder)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder)
        if self._saved_graph is not None:
            save_graph(folder, self._saved_graph)

    @property
    def _saved_graph(self) -> InteractionGraph | None:
        return self.graph if self.include_graph else None

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
        self.trunk.set_graph_users(torch.from_numpy(adjacency.indices), torch.from_numpy(adjacency.indptr))
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
        read = self._read(histories, user_ids)

        def rank_batch(batch, left_out):
            dense = self._scores([read[number] for number in batch])
            return rank_dense_scores(dense, k, exclude=left_out, allowed=allowed)

        with evaluation_mode(self.trunk):
            return rank_in_batches(rank_batch, [len(ids) for ids, _ in read], k, self.batch_size, exclude)

    def _read(self, histories, user_ids=None) -> list[tuple[np.ndarray, np.ndarray]]:
        """Token ids and items of the user of each sequence."""
        users = [-1] * len(histories) if user_ids is None else [self.user_rows.get(user, -1) for user in user_ids]
        return [served_sequence(self.layout, histories[row], self.graph, user=user) for row, user in enumerate(users)]

    def score(self, histories, candidates):
        rows, read = self.check_candidates(histories, candidates), self._read(histories)

        def score_batch(batch):
            return self._scores([read[number] for number in batch])

        with evaluation_mode(self.trunk):
            return score_in_batches(score_batch, [len(ids) for ids, _ in read], rows, self.batch_size)

    @torch.no_grad()
    def item_vectors(self, batch_size: int = 256) -> np.ndarray:
        """E_i^0 of every item, before any projection; float32 (num_items, hidden_size)."""
        segments = [self.layout.item_segment(item)[0] for item in range(len(self.item_ids))]
        model, states = self.trunk, []
        with evaluation_mode(model):
            for start in range(0, len(segments), batch_size):
                ids = pad_histories(segments[start : start + batch_size], 0).to(model.item_external.device)
                readouts = model.readout_states(ids, model(ids).last_hidden_state, "ITEM_0")
                states.append(readouts.float().cpu().numpy())
        return np.concatenate(states)

    @torch.no_grad()
    def _scores(self, read: list[tuple[np.ndarray, np.ndarray]]) -> torch.Tensor:
        device = self.trunk.item_external.device
        input_ids = pad_histories([ids for ids, _ in read], 0).to(device)
        user_items = pad_histories([items for _, items in read], -1).to(device)
        return self.trunk.score_prompts(input_ids, user_items)
