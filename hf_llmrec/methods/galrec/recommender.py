"""Recommending with GAL-Rec: one forward pass per history scores the full catalogue."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ...data.graph import InteractionGraph
from ...data.graph_files import load_graph, save_graph
from ...data.interactions import RecDataset
from ...data.model_folder import check_tokenizer_files
from ...data.recommender_folder import ItemCatalog
from ...data.splits import RecSplit
from ...data.time_features import added_scores
from ...evaluation.batches import evaluation_mode, rank_in_batches, score_in_batches
from ...evaluation.top_k import rank_dense_scores
from ...recommender import Recommender
from ..dense_recommender import check_catalog_size, pad_histories, with_added
from .building import build_galrec
from .configuration_galrec import GALRecConfig
from .modeling_galrec import GALRecModel
from .prompt import GALRecLayout, GALRecPrompt
from .rows import served_sequence


class GALRecRecommender(Recommender):
    """A GAL-Rec model behind the ranking interface. A history is enough; with a graph, neighbours are read, too.

    Args:
        model: `GALRecModel`, or a model around it such as `GALRecForCausalLM`.
        layout: converts rows into token ids, as in training.
        catalog: the items in the model's row order, or their ids alone, see [`Recommender`].
        batch_size: number of histories scored at once.
        graph: gives the neighbours, see `attach_graph`; ``None``: no neighbours are read.
        tokenizer: of the backbone, saved with the model; ``None``: the template has no words.
        include_graph: save and publish the graph with the model (rows, no user ids).

    Attributes:
        layout: as passed, or with the lengths of `set_max_length`.
        batch_size: as passed.
        tokenizer: as passed.
        include_graph: as passed.
        graph: gives the neighbours; ``None``: no neighbours are read.
        user_rows: rows of the graph's users, by user id; empty if their ids are not given.

    Raises:
        ValueError: a catalogue or a graph of another number of items than the model's.
    """

    method = "galrec"
    supports_item_bonus = True
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
        self.layout, self.batch_size = layout, batch_size
        self.tokenizer, self.include_graph = tokenizer, include_graph
        self.graph: InteractionGraph | None = None
        self.user_rows: dict[str, int] = {}
        if graph is not None:
            self.attach_graph(graph)

    @classmethod
    def from_backbone(
        cls,
        backbone: str | os.PathLike | PreTrainedModel,
        *,
        dataset: RecDataset,
        item_vectors: Mapping[str, np.ndarray] | None = None,
        split: RecSplit | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        prompt: GALRecPrompt | Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        include_graph: bool = False,
        pretrained: bool | None = None,
        **options: Any,
    ) -> GALRecRecommender:
        """Build a recommender to be trained: mapping layers and heads around a causal language model.

        Args:
            backbone: Hub id or folder of a causal language model, or of a saved GAL-Rec, whose item vectors, heads,
                layers and prompt stay; a model; or ``"tiny"`` or ``"small"``, from scratch, with a tokenizer trained on
                the catalogue.
            dataset: gives the items, and their titles for prompts that have titles.
            item_vectors: external embeddings by kind, float (num_items, d) in the dataset's order: ``text``, such as
                `embed_items` gives, and ``collaborative``, such as a trained SASRec's ``item_vectors()``; default:
                those of the texts alone. Those of a saved GAL-Rec can only be repeated here.
            split: how interactions are held out; default: ``dataset.split()``.
            tokenizer: of the backbone, if that is passed as a model.
            prompt: what the model reads, or fields of `GALRecPrompt` that replace the defaults; a model from scratch
                reads neither words nor titles by default, and a saved GAL-Rec keeps its prompt.
            config: fields of `GALRecConfig` that replace the defaults; of a saved GAL-Rec dropout and the loss over
                items (`continuing.ADJUSTABLE`) can change.
            include_graph: save and publish the interaction graph with the model (rows, no user ids).
            pretrained: whether to use the defaults of loaded weights, or those of a model from scratch; default: by the
                backbone. A saved GAL-Rec always counts as loaded.
            options: other parameters of `load_backbone`: ``dtype``, ``revision``, ``attn_implementation``,
                ``num_layers``; for a model from scratch ``architecture``, ``overrides`` and ``corpus_vocab_size``.

        Returns:
            A recommender whose model `GALRecTrainer` trains in place.

        Raises:
            ValueError: vectors of another number of items; unknown fields or invalid values; a backbone that cannot be
                trained; a saved GAL-Rec with other items, vectors or settings than its own.

        Example:
            ```python
            dataset = make_demo_shop().dataset
            vectors = {"text": embed_items(dataset), "collaborative": sasrec.item_vectors()}
            recommender = GALRecRecommender.from_backbone("tiny", dataset=dataset, item_vectors=vectors)
            ```
        """
        split = dataset.split() if split is None else split
        built, complete_prompt = build_galrec(
            backbone,
            dataset,
            split,
            item_vectors,
            prompt,
            config=config,
            pretrained=pretrained,
            tokenizer=tokenizer,
            **options,
        )
        catalog = ItemCatalog.of_dataset(dataset)
        layout = GALRecLayout(complete_prompt, _config_of(built.model), built.tokenizer, catalog.titles)
        recommender = cls(built.model, layout, catalog, tokenizer=built.tokenizer, include_graph=include_graph)
        recommender.is_pretrained = built.is_pretrained
        return recommender

    @property
    def prompt(self) -> GALRecPrompt:
        """What a user's sequence holds."""
        return self.layout.prompt

    @property
    def max_history(self) -> int:
        """Maximum number of items of a history that are read, the latest."""
        return self.prompt.max_history

    def set_max_length(self, max_length: int) -> None:
        """Change the length of sequences that are read from now on.

        Args:
            max_length: maximum number of tokens of a user's sequence.

        Raises:
            ValueError: a length that leaves no room beside the template's words.
        """
        if max_length != self.prompt.max_length:
            changed = replace(self.prompt, max_length=max_length)
            self.layout = GALRecLayout(changed, self.trunk.config, self.tokenizer, self.catalog.titles)

    @classmethod
    def _from_folder(cls, model, settings, catalog, path_or_hub_id, where, *, tokenizer=None, **options):
        changed = {name: options.pop(name) for name in ("max_history",) if name in options}
        prompt = GALRecPrompt(**{**settings["prompt"], **changed})
        if tokenizer is None:
            check_tokenizer_files(Path(path_or_hub_id) / where.get("subfolder", ""), "model")
            tokenizer = AutoTokenizer.from_pretrained(path_or_hub_id, **where)
        layout = GALRecLayout(prompt, _config_of(model), tokenizer, catalog.titles)
        graph = load_graph(path_or_hub_id, **where) if settings.get("graph") else None
        return cls(model, layout, catalog, graph=graph, tokenizer=tokenizer, include_graph=graph is not None, **options)

    @property
    def trunk(self) -> GALRecModel:
        """The `GALRecModel` that scores, without the heads of training."""
        # transformers annotates it as any module. It is no instance of our class if a repository's own code was loaded.
        return cast(GALRecModel, self.model.base_model)

    @property
    def language_model(self) -> PreTrainedModel:
        """The causal language model around which GAL-Rec is built."""
        return self.trunk.language_model

    def settings(self):
        return {"prompt": self.layout.prompt.to_dict(), "graph": self._saved_graph is not None}

    def _save_beside(self, folder):
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder)
        if self._saved_graph is not None:
            save_graph(folder, self._saved_graph)

    @property
    def _saved_graph(self) -> InteractionGraph | None:
        return self.graph if self.include_graph else None

    def attach_graph(self, graph: InteractionGraph, user_ids: Sequence[str] = ()) -> None:
        """Read neighbours from a graph, whose users are represented by their items.

        Args:
            graph: of the model's catalogue.
            user_ids: of its users, by row; default: no ids. With them, a user in the graph who gets recommendations is
                not read as a neighbour.

        Raises:
            ValueError: a graph of another number of items.
        """
        if graph.num_items != len(self.item_ids):
            raise ValueError(f"the graph has {graph.num_items} items, the model {len(self.item_ids)}")
        adjacency = graph.user_items
        self.trunk.set_graph_users(torch.from_numpy(adjacency.indices), torch.from_numpy(adjacency.indptr))
        self.graph, self.user_rows = graph, {user: row for row, user in enumerate(user_ids)}

    def detach_graph(self) -> None:
        """Read histories without neighbours from now on."""
        self.graph, self.user_rows = None, {}

    def neighbors(self, history: np.ndarray, *, user_id: str | None = None) -> np.ndarray:
        """The neighbours of a history, as `rank` reads them.

        Args:
            history: int (m,), item rows, oldest first.
            user_id: of the history's own user, who is not read as a neighbour if the graph has it; ``None``: nobody of
                the graph.

        Returns:
            int64 (n,), user rows of the graph; empty without a graph.
        """
        user = -1 if user_id is None else self.user_rows.get(user_id, -1)
        ids, _ = served_sequence(self.layout, history, self.graph, user=user)
        return ids[ids >= self.layout.first_user_id] - self.layout.first_user_id

    def rank(self, histories, k, *, user_ids=None, times=None, exclude=None, allowed=None, item_bonus=None):
        added = added_scores(self.catalog, item_bonus, self.time_features, times, len(histories))
        read = self._read(histories, user_ids)

        def rank_batch(batch, left_out):
            dense = with_added(self._scores([read[number] for number in batch]), added, batch)
            return rank_dense_scores(dense, k, exclude=left_out, allowed=allowed)

        with evaluation_mode(self.trunk):
            return rank_in_batches(rank_batch, [len(ids) for ids, _ in read], k, self.batch_size, exclude)

    def _read(self, histories, user_ids=None) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each history its token ids, and the items that represent its user."""
        users = [-1] * len(histories) if user_ids is None else [self.user_rows.get(user, -1) for user in user_ids]
        return [served_sequence(self.layout, histories[row], self.graph, user=user) for row, user in enumerate(users)]

    def score(self, histories, candidates, *, user_ids=None, times=None):
        rows, read = self.catalog.check_rows(candidates, len(histories)), self._read(histories, user_ids)
        added = added_scores(self.catalog, None, self.time_features, times, len(histories))

        def score_batch(batch):
            return with_added(self._scores([read[number] for number in batch]), added, batch)

        with evaluation_mode(self.trunk):
            return score_in_batches(score_batch, [len(ids) for ids, _ in read], rows, self.batch_size)

    @torch.no_grad()
    def item_vectors(self, batch_size: int = 256) -> np.ndarray:
        """E_i^0 of every item, before the projection.

        Args:
            batch_size: number of items read at once.

        Returns:
            float32 (num_items, hidden_size).
        """
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


def _config_of(model: PreTrainedModel) -> GALRecConfig:
    # transformers annotates it as that of any model. It is no instance of our class if a repository's own code was
    # loaded.
    return cast(GALRecConfig, model.config)
