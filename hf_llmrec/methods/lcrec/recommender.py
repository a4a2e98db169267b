"""LC-Rec as a recommender: prompts in, items out, whose indices the model has generated."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from ...data.interactions import RecDataset
from ...data.item_index import ItemIndex
from ...data.recommender_folder import ItemCatalog
from ...data.splits import RecSplit
from ...evaluation.batches import by_length, evaluation_mode, rank_in_batches
from ...generation.beam_search import fallback_reason, recommend_items, score_items
from ...generation.item_trie import ItemTrie
from ...recommender import Recommender
from .building import build_lcrec, change_prompt, check_usable_index, own_settings
from .prompt import LCRecPrompt
from .tokenization_lcrec import LCRecTokenizer


class LCRecRecommender(Recommender):
    """Ranks by generating item indices with a beam search over the trie of valid indices (full ranking).

    Args:
        model: causal LM with the index vocabulary, used in evaluation mode while it ranks.
        tokenizer: with the item index.
        prompt: the prompt form that the model was trained with.
        num_beams: live hypotheses per level; at least k items are asked for, so a larger k widens the search.
        normalize: over what each step's log-probabilities are normalised, ``vocab``, ``level`` or ``children``.
        batch_size: prompts per forward pass.
        catalog: items with titles; default: those of the tokenizer.

    Attributes:
        template: which wording of the sequential prompt is used (prefix form); the first, unless it is changed.
    """

    method = "lcrec"
    auto_class = AutoModelForCausalLM
    supports_query = True

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: LCRecTokenizer,
        prompt: LCRecPrompt,
        *,
        num_beams: int = 20,
        normalize: str = "level",
        batch_size: int = 256,
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
        """A recommender to be trained: a causal language model whose vocabulary is extended by the index tokens.

        Args:
            backbone: Hub id or folder of a causal language model, also of a saved LC-Rec, whose learned index tokens
                stay; a model; or ``"tiny"`` or ``"small"``, from scratch, with a tokenizer trained on the catalogue.
            index: from `build_index`, or its folder or Hub id.
            dataset: gives titles and texts.
            split: how interactions are held out; default: ``dataset.split()``.
            tokenizer: of the backbone, where that is a model.
            prompt: what the model reads, or fields of `LCRecPrompt` that replace its own; default: that of a saved
                LC-Rec, else 20 items in the packed form.
            num_beams: of the search; default: that of a saved LC-Rec, else 20.
            normalize: of scores, ``vocab``, ``level`` or ``children``; default: that of a saved LC-Rec, else ``level``.
            index_init: how new embedding rows begin, ``codebook`` or ``mean_noise``, see `initialize_index_embeddings`.
            replace_index: draw all index rows of a saved LC-Rec anew, which was trained with another index.
            other_data: take an index although it was fitted on other interactions or another split.
            seed: of the new rows. Weights of a model from scratch are drawn by torch's generator.
            options: see `load_backbone`: ``dtype``, ``revision``, ``attn_implementation``; of a model from scratch
                ``architecture``, ``overrides`` and ``corpus_vocab_size``.

        Returns:
            a recommender whose model `LCRecTrainer` trains in place.

        Raises:
            ValueError: an index of another catalogue, or one that a saved LC-Rec was not trained with; a backbone that
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
        found, read = build_lcrec(
            backbone,
            index,
            dataset,
            split,
            change_prompt(stored["prompt"], prompt),
            index_init=index_init,
            replace_index=replace_index,
            seed=seed,
            tokenizer=tokenizer,
            **options,
        )
        given = {"num_beams": num_beams, "normalize": normalize}
        chosen = {key: stored[key] if value is None else value for key, value in given.items()}
        made = cls(found.model, found.tokenizer, read, catalog=ItemCatalog.of_dataset(dataset), **chosen)
        made.is_pretrained = found.is_pretrained
        return made

    @property
    def max_history(self) -> int:
        """How many of the latest items of a history are read."""
        return self.prompt.max_history

    def set_max_length(self, max_length: int) -> None:
        """Read prompts of other lengths from now on.

        Args:
            max_length: tokens of a prompt and its answer together.
        """
        self.prompt = replace(self.prompt, max_length=max_length)

    @classmethod
    def _from_folder(cls, model, settings, catalog, path_or_hub_id, where, *, tokenizer=None, **options):
        if not isinstance(tokenizer, LCRecTokenizer):
            tokenizer = LCRecTokenizer.from_pretrained(path_or_hub_id, **where)
        prompt = LCRecPrompt.from_dict({**settings["prompt"], **options.pop("prompt", {})})
        values = {"num_beams": settings["num_beams"], "normalize": settings["normalize"], **options}
        return cls(model, tokenizer, prompt, catalog=catalog, **values)

    def settings(self):
        return {"prompt": self.prompt.to_dict(), "num_beams": self.num_beams, "normalize": self.normalize}

    def _save_beside(self, folder):
        self.tokenizer.save_pretrained(folder)

    @property
    def fallback(self) -> str | None:
        """Why rankings were made by `generate`, without the tree of beams."""
        return fallback_reason(self.model)

    def rank(self, histories, k, *, user_ids=None, exclude=None, allowed=None):
        prompts = [self.prompt.encode_history(self.tokenizer, history, self.template) for history in histories]
        return self.rank_prompts(prompts, k, exclude=exclude, allowed=allowed)

    def score(self, histories, candidates):
        rows = self.catalog.check_rows(candidates, len(histories))
        prompts = [self.prompt.encode_history(self.tokenizer, history, self.template) for history in histories]
        scores = [np.zeros(0)] * len(prompts)
        with evaluation_mode(self.model):
            for batch in by_length([len(prompt) for prompt in prompts], self.batch_size):
                input_ids, mask = self._left_pad([prompts[number] for number in batch])
                padded = pad_sequence(
                    [torch.from_numpy(rows[number]) for number in batch], batch_first=True, padding_value=-1
                )
                values = score_items(
                    self.model, input_ids, mask, self.trie, self._level_token_ids, padded, normalize=self.normalize
                )
                for number, row in zip(batch, values.double().cpu().numpy(), strict=True):
                    scores[number] = row[: len(rows[number])]
        return scores

    @torch.no_grad()
    def item_vectors(self):
        """Sums of the embeddings of each item's index tokens, float32 (num_items, hidden_size)."""
        embeddings, codes = self.model.get_input_embeddings(), self.tokenizer.item_index.codes
        levels = (ids[codes[:, level]].to(self.model.device) for level, ids in enumerate(self._level_token_ids))
        return sum(embeddings(ids).float() for ids in levels).cpu().numpy()

    def rank_queries(self, histories, queries: Sequence[str], k: int, *, exclude=None, allowed=None):
        """Rank for wishes in free text (the ITE task)."""
        pairs = zip(histories, queries, strict=True)
        prompts = [self.prompt.encode_query(self.tokenizer, history, query) for history, query in pairs]
        return self.rank_prompts(prompts, k, exclude=exclude, allowed=allowed)

    def rank_prompts(
        self, prompts: Sequence[Sequence[int]], k: int, *, exclude=None, allowed=None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rank after any prompts, given as lists of token ids; the result is that of `rank`."""

        def rank_batch(batch, left_out):
            input_ids, mask = self._left_pad([prompts[number] for number in batch])
            found, values = recommend_items(
                self.model,
                input_ids,
                mask,
                self.trie,
                self._level_token_ids,
                num_beams=max(self.num_beams, k),
                k=k,
                normalize=self.normalize,
                exclude=left_out,
                allowed=allowed,
            )
            return found.cpu().numpy(), values.double().cpu().numpy()

        with evaluation_mode(self.model):
            return rank_in_batches(rank_batch, [len(prompt) for prompt in prompts], k, self.batch_size, exclude)

    def _left_pad(self, prompts: list[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        longest = max(len(prompt) for prompt in prompts)
        input_ids = torch.full((len(prompts), longest), self.tokenizer.pad_token_id)
        mask = torch.zeros((len(prompts), longest), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            input_ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        return input_ids.to(self.model.device), mask.to(self.model.device)
