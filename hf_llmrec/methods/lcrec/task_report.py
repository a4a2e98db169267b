"""`TaskReport`: how well LC-Rec's alignment tasks were learned, with the probe of arXiv 2311.09049, section 4.4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from torch.nn import functional as F

from ...data.interactions import RecDataset
from ...data.splits import EvalCases, RecSplit
from ...evaluation.metrics import hit_rate_at, target_ranks
from ...generation.beam_search import score_items
from ...prompting.fitting import bare_length, fit_prompt
from ...prompting.templates import fill
from ...prompting.training_text import held_out_intentions, preference_rows
from .recommender import LCRecRecommender
from .templates import load_templates


def text_near_items(dataset: RecDataset) -> np.ndarray:
    """Find for every item the other item with the most similar title and description (TF-IDF cosine).

    Args:
        dataset: its titles and descriptions are compared.

    Returns:
        int64 (num_items,), item rows.
    """
    pairs = zip(dataset.titles, dataset.descriptions, strict=True)
    texts = TfidfVectorizer(token_pattern=r"(?u)\w+|[^\w\s]").fit_transform([f"{t} {d}" for t, d in pairs])
    nearest = np.empty(dataset.num_items, dtype=np.int64)
    for start in range(0, dataset.num_items, 1024):
        rows = np.arange(start, min(start + 1024, dataset.num_items))
        similarity = (texts[rows] @ texts.T).toarray()
        similarity[np.arange(len(rows)), rows] = -1.0
        nearest[rows] = similarity.argmax(axis=1)
    return nearest


def co_purchase_near_items(dataset: RecDataset, split: RecSplit) -> np.ndarray:
    """Find for every item the other item that is most often in the same *training* sequence.

    Args:
        dataset: gives the numbers of users and items.
        split: its training interactions are counted.

    Returns:
        int64 (num_items,), item rows, -1 for items that share no sequence with another.
    """
    lengths = np.diff(split.train_indptr)
    users = np.repeat(np.arange(dataset.num_users), lengths)
    shape = (dataset.num_users, dataset.num_items)
    matrix = csr_matrix((np.ones(len(users), dtype=np.float32), (users, split.train_indices)), shape=shape)
    matrix.data[:] = 1.0
    together = (matrix.T @ matrix).tolil()
    together.setdiag(0)
    together = together.tocsr()
    together.eliminate_zeros()
    nearest = np.full(dataset.num_items, -1, dtype=np.int64)
    for item in range(dataset.num_items):
        row = slice(together.indptr[item], together.indptr[item + 1])
        if row.stop > row.start:
            nearest[item] = together.indices[row][together.data[row].argmax()]
    return nearest


class TaskReport:
    """Measures each alignment task of a trained model, on held-out data where the task has any.

    Args:
        ranker: the trained recommender.
        dataset: the dataset of the training.
        split: the split of the training.
        which: the users that are evaluated, ``test`` or ``validation``.
        limit: number of items or users per task, a fixed random sample; 0: all.
    """

    def __init__(
        self, ranker: LCRecRecommender, dataset: RecDataset, split: RecSplit, which: str = "test", limit: int = 2000
    ):
        self.ranker, self.dataset, self.split, self.which, self.limit = ranker, dataset, split, which, limit
        cases: EvalCases = getattr(split, which)
        self.cases = cases.sample(limit, seed=0) if limit else cases

    def run(self) -> dict[str, Any]:
        """Measure all tasks.

        Returns:
            ``mut_title_to_item_accuracy``, ``asy_titles_to_item_hit_rate@10``, ``ite_query_hit_rate@10``, ``per_loss``
            and ``probe_*``; the value of a task without data is ``None``.
        """
        return {
            "mut_title_to_item_accuracy": self.title_to_item(),
            "asy_titles_to_item_hit_rate@10": self.titles_to_next_item(),
            "ite_query_hit_rate@10": self.query_to_item(),
            "per_loss": self.preference_loss(),
            **self.probe(),
        }

    def _hit_rate(self, direction: str, values: Sequence[dict], targets: Sequence[int], k: int) -> float | None:
        if not len(targets):
            return None
        template = load_templates()[direction][0]
        tokenizer = self.ranker.tokenizer
        room, frame = self.ranker.prompt.room(tokenizer), self.ranker.prompt.frame(tokenizer)
        prompts = [fit_prompt(tokenizer, template.prompt, value, room, frame) for value in values]
        rows, _ = self.ranker.rank_prompts(prompts, k)
        return hit_rate_at(target_ranks(rows, np.asarray(targets)), k)

    def title_to_item(self) -> float | None:
        """MUT: share of items that are ranked first for their title. Items with the same title cannot all be."""
        rows = np.arange(self.dataset.num_items)
        if self.limit and len(rows) > self.limit:
            rows = np.sort(np.random.default_rng(0).choice(rows, self.limit, replace=False))
        values = [{"title": self.dataset.titles[row]} for row in rows]
        return self._hit_rate("mut_title_to_item", values, rows.tolist(), 1)

    def titles_to_next_item(self) -> float | None:
        """ASY: HR@10 of the next item if the history consists of titles."""
        latest = self.ranker.prompt.max_history
        titles = [
            "; ".join(self.dataset.titles[item][:200] for item in self.cases.histories[i][-latest:])
            for i in range(len(self.cases))
        ]
        return self._hit_rate("asy_titles_to_item", [{"titles": t} for t in titles], self.cases.targets.tolist(), 10)

    def query_to_item(self) -> float | None:
        """ITE: HR@10 for an intention without a history; the intentions belong to held-out interactions."""
        rows = held_out_intentions(self.dataset, self.split, self.which)[: self.limit or None]
        values = [{"intention": text} for _, _, text in rows]
        return self._hit_rate("ite_intention_to_item", values, [item for _, item, _ in rows], 10)

    @torch.no_grad()
    def preference_loss(self) -> float | None:
        """PER: mean cross-entropy per token of the preference text, in nats."""
        rows = preference_rows(self.dataset, self.split)[: self.limit or None]
        if not rows:
            return None
        template, encode = load_templates()["per"][0], self.ranker.tokenizer.encode_segments
        frame = self.ranker.prompt.frame(self.ranker.tokenizer)
        total, count = 0.0, 0
        for history, text in rows:
            values = {"history": history[-self.ranker.prompt.max_history :], "preference": text}
            answer = encode(fill(template.answer, values), add_eos=True)
            room = None
            max_length = self.ranker.prompt.max_length
            if max_length is not None:  # as in training
                bare = bare_length(self.ranker.tokenizer, template.prompt, frame)
                room = max(max_length - len(answer), max_length // 2, bare)
                answer = answer[: max_length - room]
            prompt = fit_prompt(self.ranker.tokenizer, template.prompt, values, room, frame)
            ids = torch.tensor([prompt + answer], device=self.ranker.model.device)
            logits = self.ranker.model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
            total += float(F.cross_entropy(logits, ids[0, len(prompt) :], reduction="sum"))
            count += len(answer)
        return total / count

    def probe(self) -> dict[str, float | None]:
        """Share of cases in which the true next item is scored above a near negative.

        Returns:
            ``probe_text``: the negative is the item with the most similar text. ``probe_co_purchase``: it is the item
            that is most often in the same training sequence as the true one; cases without such an item are left out.
            ``None`` if no case is left.
        """
        negatives = {
            "probe_text": text_near_items(self.dataset)[self.cases.targets],
            "probe_co_purchase": co_purchase_near_items(self.dataset, self.split)[self.cases.targets],
        }
        ranker = self.ranker
        shares: dict[str, float | None] = {}
        for name, other in negatives.items():
            numbers = np.flatnonzero(other >= 0)
            is_above: list[np.ndarray] = []
            for start in range(0, len(numbers), ranker.batch_size):
                batch = numbers[start : start + ranker.batch_size]
                prompts = [ranker.prompt.encode_history(ranker.tokenizer, self.cases.histories[i]) for i in batch]
                input_ids, mask = ranker._left_pad(prompts)
                pairs = torch.from_numpy(np.stack([self.cases.targets[batch], other[batch]], axis=1)).long()
                scores = score_items(
                    ranker.model,
                    input_ids,
                    mask,
                    ranker.trie,
                    ranker._level_token_ids,
                    pairs.to(input_ids.device),
                    normalize=ranker.normalize,
                )
                is_above.append((scores[:, 0] > scores[:, 1]).cpu().numpy())
            shares[name] = float(np.concatenate(is_above).mean()) if is_above else None
        return shares
