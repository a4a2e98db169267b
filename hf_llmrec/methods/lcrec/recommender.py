"""`LCRecRecommender`: LC-Rec with its catalogue, which generates the indices of items after a prompt."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from ...data.interactions import RecDataset
from ...data.item_index import ItemIndex
from ...data.recommender_folder import ItemCatalog
from ...data.splits import RecSplit
from ...data.time_features import add_sparse, added_scores
from ...evaluation.batches import by_length, evaluation_mode, rank_in_batches
from ...generation.beam_search import fallback_reason, recommend_items, score_items
from ...generation.item_trie import ItemTrie
from ...generation.prompt_items import items_in_prompts
from ...recommender import Recommender
from .building import DECODING, build_lcrec, change_prompt, check_usable_index, decoding_settings, own_settings
from .index_embeddings import IndexRowOptions
from .memory import LCRecMemory, as_tensor
from .prompt import LCRecPrompt
from .tokenization_lcrec import LCRecTokenizer


class LCRecRecommender(Recommender):
    """Ranks by generating item indices with a beam search over the trie of valid indices (full ranking).

    Args:
        model: causal LM with the index vocabulary, in evaluation mode while it ranks.
        tokenizer: the tokenizer with the item index.
        prompt: the form of the prompts that the model was trained with.
        num_beams: live hypotheses per level; rankings of k items use at least k.
        normalize: the set over which each step's log-probabilities are normalised: ``vocab`` (the full vocabulary),
            ``level`` (the codes of the level) or ``children`` (the codes that can follow in the trie).
        batch_size: number of prompts per forward pass.
        repeat_bias: added to the score of every item of the prompt; training fits it, see `fit_repeat_bias`.
        memory: co-occurrences that are added to the scores after histories, not after queries in free text; training
            fits it, see `fit_memory`; default: none.
        catalog: items with titles; default: those of the tokenizer.

    Attributes:
        template: number of the template of the sequential prompt (prefix form), 0 unless it is changed.
    """

    method = "lcrec"
    auto_class = AutoModelForCausalLM
    supports_query = True
    supports_item_bonus = True

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: LCRecTokenizer,
        prompt: LCRecPrompt,
        *,
        num_beams: int = 20,
        normalize: str = "level",
        batch_size: int = 256,
        repeat_bias: float = 0.0,
        memory: LCRecMemory | None = None,
        catalog: ItemCatalog | None = None,
    ):
        index = tokenizer.item_index
        if catalog is None:
            catalog = ItemCatalog(list(index.item_ids), tokenizer.item_titles or [""] * index.num_items, "")
        super().__init__(model, catalog)
        if self.item_ids != list(index.item_ids):
            raise ValueError("the catalogue has other items, or another order of them, than the tokenizer's index")
        self.tokenizer, self.prompt = tokenizer, prompt
        self.num_beams, self.normalize, self.batch_size = num_beams, normalize, batch_size
        self.repeat_bias, self.memory = repeat_bias, memory
        if memory is not None and memory.num_items != len(self.item_ids):
            raise ValueError(f"the memory is of {memory.num_items} items, the catalogue has {len(self.item_ids)}")
        self.template = 0
        self.trie = ItemTrie.from_codes(index.codes)
        self._level_token_ids = [torch.as_tensor(ids) for ids in tokenizer.level_token_ids]

    @classmethod
    def from_backbone(
        cls,
        backbone: str | os.PathLike | PreTrainedModel,
        *,
        index: ItemIndex | str | os.PathLike,
        dataset: RecDataset,
        split: RecSplit | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        prompt: LCRecPrompt | Mapping[str, Any] | None = None,
        num_beams: int | None = None,
        normalize: str | None = None,
        index_init: str = "codebook",
        replace_index: bool = False,
        other_data: bool = False,
        seed: int = 0,
        **options: Any,
    ) -> LCRecRecommender:
        """Create an untrained recommender: a causal language model whose vocabulary is extended by the index tokens.

        Args:
            backbone: Hub id or folder of a causal language model or of a saved LC-Rec, whose learned index tokens
                stay; a model; or ``"tiny"`` or ``"small"`` for a model from scratch, with a tokenizer trained on the
                catalogue.
            index: from `build_index`, or its folder or Hub id.
            dataset: gives titles and texts.
            split: the held-out interactions; default: ``dataset.split()``.
            tokenizer: tokenizer of the backbone if that is a model.
            prompt: the form of the prompts, or fields of [`LCRecPrompt`] that are changed; default: that of a saved
                LC-Rec, otherwise 20 items in the packed form.
            num_beams: live hypotheses per level; default: that of a saved LC-Rec, otherwise 20.
            normalize: normalisation of scores, ``vocab``, ``level`` or ``children``; default: that of a saved LC-Rec,
                otherwise ``level``.
            index_init: initialization of new embedding rows: ``codebook`` (from the codewords of the index) or
                ``mean_noise`` (at random), see `initialize_index_embeddings`.
            replace_index: initialize all index rows of a saved LC-Rec that was trained with another index, instead of
                refusing the index.
            other_data: accept an index that was fitted on other interactions or another split.
            seed: seed of the new rows. Weights of a model from scratch are drawn by torch's global generator.
            options: options of `load_backbone`: ``dtype``, ``revision``, ``attn_implementation``, ``num_layers``; for
                a model from scratch ``architecture``, ``overrides`` and ``corpus_vocab_size``.

        Returns:
            a recommender whose model [`LCRecTrainer`] trains in place.

        Raises:
            ValueError: an index of another catalogue, or another index than that of a saved LC-Rec; a backbone that
                cannot be trained.

        Example:
            ```python
            dataset = make_demo_shop().dataset
            index = build_index(embed_items(dataset), dataset.item_ids)
            recommender = LCRecRecommender.from_backbone("tiny", index=index, dataset=dataset)
            ```
        """
        split = dataset.split() if split is None else split
        name = "index"
        if not isinstance(index, ItemIndex):
            name, index = f"index {index}", ItemIndex.from_pretrained(index)
        check_usable_index(name, index, dataset, split, other_data=other_data)
        stored = own_settings(backbone, revision=options.get("revision"))
        changed = change_prompt(stored["prompt"], prompt)
        rows = IndexRowOptions(index_init, seed, replace_index)
        parts = build_lcrec(backbone, index, dataset, split, changed, rows, tokenizer=tokenizer, **options)
        recommender = cls(
            parts.model,
            parts.tokenizer,
            parts.prompt,
            num_beams=stored["num_beams"] if num_beams is None else num_beams,
            normalize=stored["normalize"] if normalize is None else normalize,
            repeat_bias=stored["repeat_bias"],
            catalog=ItemCatalog.of_dataset(dataset),
        )
        recommender.is_pretrained = parts.is_pretrained
        return recommender

    @property
    def max_history(self) -> int:
        """Number of the latest items of a history that are read."""
        return self.prompt.max_history

    @property
    def language_model(self) -> PreTrainedModel:
        """The causal language model."""
        return self.model

    def set_max_length(self, max_length: int) -> None:
        """Change the maximum length of prompts.

        Args:
            max_length: maximum number of tokens of a prompt and its answer together.
        """
        self.prompt = replace(self.prompt, max_length=max_length)

    @classmethod
    def _from_folder(cls, model, settings, catalog, path_or_hub_id, where, *, tokenizer=None, **options):
        if not isinstance(tokenizer, LCRecTokenizer):
            tokenizer = LCRecTokenizer.from_pretrained(path_or_hub_id, **where)
        prompt = LCRecPrompt.from_dict({**settings["prompt"], **options.pop("prompt", {})})
        memory = options.pop("memory", True)
        if not isinstance(memory, LCRecMemory):
            stored = settings.get("memory") if memory else None
            memory = stored and LCRecMemory.load(path_or_hub_id, stored, **where)
        options = {**decoding_settings(settings), **options}
        return cls(model, tokenizer, prompt, catalog=catalog, memory=memory, **options)

    def settings(self):
        settings = {"prompt": self.prompt.to_dict(), **{name: getattr(self, name) for name in DECODING}}
        return settings if self.memory is None else {**settings, "memory": self.memory.settings()}

    def _save_beside(self, folder):
        self.tokenizer.save_pretrained(folder)
        if self.memory is not None:
            self.memory.save(folder)

    @property
    def fallback(self) -> str | None:
        """Why rankings were made by `generate`, without the tree of beams; ``None`` if they were not."""
        return fallback_reason(self.model)

    @contextmanager
    def codes_alone(self) -> Iterator[None]:
        """Rank and score without ``repeat_bias``, ``memory`` and ``time_features`` inside the block."""
        before = self.repeat_bias, self.memory, self.time_features
        self.repeat_bias, self.memory, self.time_features = 0.0, None, None
        try:
            yield
        finally:
            self.repeat_bias, self.memory, self.time_features = before

    def rank(self, histories, k, *, user_ids=None, times=None, exclude=None, allowed=None, item_bonus=None):
        prompts = self._prompts(histories)
        added = self._added_scores(histories, prompts, times, item_bonus)
        return self.rank_prompts(prompts, k, exclude=exclude, allowed=allowed, item_bonus=added)

    def score(self, histories, candidates, *, user_ids=None, times=None):
        rows, prompts = self.catalog.check_rows(candidates, len(histories)), self._prompts(histories)
        bonus = self._added_scores(histories, prompts, times)
        scores = [np.zeros(0)] * len(prompts)
        with evaluation_mode(self.model):
            for batch in by_length([len(prompt) for prompt in prompts], self.batch_size):
                input_ids, mask = self._left_pad([prompts[number] for number in batch])
                padded = pad_sequence(
                    [torch.from_numpy(rows[number]) for number in batch], batch_first=True, padding_value=-1
                )
                values = score_items(
                    self.model,
                    input_ids,
                    mask,
                    self.trie,
                    self._level_token_ids,
                    padded,
                    normalize=self.normalize,
                    item_bonus=as_tensor(bonus, batch),
                    repeat_bias=self.repeat_bias,
                )
                for number, row in zip(batch, values.double().cpu().numpy(), strict=True):
                    scores[number] = row[: len(rows[number])]
        return scores

    def _prompts(self, histories: Sequence[np.ndarray]) -> list[list[int]]:
        return [self.prompt.encode_history(self.tokenizer, history, self.template) for history in histories]

    def _added_scores(self, histories, prompts, times, item_bonus=None) -> np.ndarray | csr_matrix | None:
        """The caller's bonus, that of the times and the memory's."""
        added = added_scores(self.catalog, item_bonus, self.time_features, times, len(histories))
        if self.memory is None:
            return added
        return add_sparse(added, self.memory.bonus(histories, self._items_in(prompts)))

    def items_read(self, histories: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The items of histories that the prompt has room for, to which `repeat_bias` applies.

        Args:
            histories: n int arrays of item rows, oldest first.

        Returns:
            n int64 arrays of item rows, each row once.
        """
        return self._items_in(self._prompts(histories))

    def _items_in(self, prompts: list[list[int]]) -> list[np.ndarray]:
        trie, level_token_ids = self.trie.to("cpu"), [ids.cpu() for ids in self._level_token_ids]
        items: list[np.ndarray] = []
        for start in range(0, len(prompts), self.batch_size):
            batch = prompts[start : start + self.batch_size]
            input_ids, mask = (tensor.cpu() for tensor in self._left_pad(batch))
            owners, leaves = items_in_prompts(input_ids, mask, trie, level_token_ids)
            counts = torch.bincount(owners, minlength=len(batch))
            items += [rows.numpy() for rows in trie.item_rows[leaves].split(counts.tolist())]
        return items

    @torch.no_grad()
    def item_vectors(self) -> np.ndarray:
        """Sums of the embeddings of each item's index tokens, float32 (num_items, hidden_size)."""
        embeddings, codes = self.model.get_input_embeddings(), self.tokenizer.item_index.codes
        levels = (ids[codes[:, level]].to(self.model.device) for level, ids in enumerate(self._level_token_ids))
        return functools.reduce(torch.add, (embeddings(ids).float() for ids in levels)).cpu().numpy()

    def rank_queries(self, histories, queries: Sequence[str], k: int, *, exclude=None, allowed=None):
        """Rank for queries in free text, with the prompt of the ITE task; see [`Recommender.rank_queries`]."""
        pairs = zip(histories, queries, strict=True)
        prompts = [self.prompt.encode_query(self.tokenizer, history, query) for history, query in pairs]
        return self.rank_prompts(prompts, k, exclude=exclude, allowed=allowed)

    def rank_prompts(
        self,
        prompts: Sequence[Sequence[int]],
        k: int,
        *,
        exclude: Sequence[np.ndarray] | None = None,
        allowed: np.ndarray | None = None,
        item_bonus: np.ndarray | csr_matrix | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rank after prompts that are given as token ids.

        Args:
            prompts: n sequences of token ids, after which an index follows.
            k: number of items to return, at least 1.
            exclude: n int arrays of item rows that must not be returned; ``None``: none.
            allowed: int array of the only item rows that may be returned; ``None``: all.
            item_bonus: float (n, num_items), dense or sparse, added to the scores of items during the search; ``None``:
                nothing. The memory is not added.

        Returns:
            item rows int64 (n, k), best first, padded with -1; scores float64 (n, k), -inf at padding.
        """

        def rank_batch(batch, excluded):
            input_ids, mask = self._left_pad([prompts[number] for number in batch])
            rows, values = recommend_items(
                self.model,
                input_ids,
                mask,
                self.trie,
                self._level_token_ids,
                num_beams=max(self.num_beams, k),
                k=k,
                normalize=self.normalize,
                exclude=excluded,
                allowed=allowed,
                item_bonus=as_tensor(item_bonus, batch),
                repeat_bias=self.repeat_bias,
            )
            return rows.cpu().numpy(), values.double().cpu().numpy()

        with evaluation_mode(self.model):
            return rank_in_batches(rank_batch, [len(prompt) for prompt in prompts], k, self.batch_size, exclude)

    def _left_pad(self, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        longest = max(len(prompt) for prompt in prompts)
        input_ids = torch.full((len(prompts), longest), self.tokenizer.pad_token_id)
        mask = torch.zeros((len(prompts), longest), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            input_ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        return input_ids.to(self.model.device), mask.to(self.model.device)
