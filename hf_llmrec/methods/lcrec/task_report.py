"""`TaskReport`: how well LC-Rec's alignment tasks were learned, with the probe of arXiv 2311.09049, section 4.4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ...data.held_out_texts import HeldOutTexts
from ...data.interactions import RecDataset
from ...data.splits import EvalCases, RecSplit
from ...evaluation.metrics import target_ranks
from ...prompting.fitting import bare_length, fit_prompt
from ...prompting.templates import fill
from ...prompting.training_text import (
    held_out_intentions,
    intention_rows,
    item_intention_rows,
    preference_rows,
)
from .probe import probe
from .recommender import LCRecRecommender
from .rows import TITLE_LIMIT
from .templates import load_templates


@dataclass(frozen=True)
class TaskOutcome:
    """What a model made of each case of a task.

    Attributes:
        values: float64 (n,), 1 for a hit and 0 for a miss, or the summed cross-entropy of an answer in nats.
        sizes: float64 (n,), what the values are divided by: 1, or the number of an answer's tokens.
        is_held_out: bool (n,), whether the case is about texts that were held out.
        in_sample: bool (n,), whether it belongs to the sample of all cases; others were drawn to complete a group.
    """

    values: np.ndarray
    sizes: np.ndarray
    is_held_out: np.ndarray
    in_sample: np.ndarray

    def mean(self, chosen: np.ndarray) -> float | None:
        """Mean over cases; ``None`` without a case.

        Args:
            chosen: bool (n,), the cases.
        """
        return float(self.values[chosen].sum() / self.sizes[chosen].sum()) if chosen.any() else None


class TaskReport:
    """Measures each alignment task of a trained model, on held-out data where the task has any.

    Args:
        ranker: the trained recommender.
        dataset: the dataset of the training.
        split: the split of the training.
        which: the users that are evaluated, ``test`` or ``validation``.
        limit: number of items or users per task, a fixed random sample; 0: all.
        held_out_texts: items whose texts the training did not read, for which each task is reported apart; ``None``:
            it read all texts.
    """

    def __init__(
        self,
        ranker: LCRecRecommender,
        dataset: RecDataset,
        split: RecSplit,
        which: str = "test",
        limit: int = 2000,
        held_out_texts: HeldOutTexts | None = None,
    ):
        self.ranker, self.dataset, self.split, self.which, self.limit = ranker, dataset, split, which, limit
        cases: EvalCases = getattr(split, which)
        self.cases = cases.sample(limit, seed=0) if limit else cases
        none = np.zeros(dataset.num_items, dtype=bool)
        self.is_held_out = none if held_out_texts is None else held_out_texts.choose(dataset.num_items)

    def run(self) -> dict[str, Any]:
        """Measure all tasks.

        Returns:
            by name the values of `outcomes` and ``probe_*``; the value of a task without data is ``None``. If texts are
            held out, also ``held_out`` and ``others``: the same values of the cases that are about such texts and of
            those that are not, and ``num_cases``, their numbers by name.
        """
        outcomes = self.outcomes()
        report: dict[str, Any] = {name: outcome.mean(outcome.in_sample) for name, outcome in outcomes.items()}
        report |= probe(self.ranker, self.dataset, self.split, self.cases)
        if self.is_held_out.any():
            for group, wanted in (("held_out", True), ("others", False)):
                chosen = {name: outcome.is_held_out == wanted for name, outcome in outcomes.items()}
                values = {name: outcome.mean(chosen[name]) for name, outcome in outcomes.items()}
                report[group] = {**values, "num_cases": {name: int(rows.sum()) for name, rows in chosen.items()}}
        return report

    def outcomes(self) -> dict[str, TaskOutcome]:
        """The outcome of every case.

        Returns:
            ``mut_title_to_item_accuracy`` (the item is ranked first), ``mut_title_to_item_hit_rate@10``,
            ``mut_description_to_item_hit_rate@10``, ``asy_titles_to_item_hit_rate@10``, ``asy_history_to_title_loss``,
            ``ite_query_hit_rate@10`` and ``per_loss``; losses are in nats per token.
        """
        titles = self.text_to_item("title", self.dataset.titles)
        return {
            "mut_title_to_item_accuracy": titles[1],
            "mut_title_to_item_hit_rate@10": titles[10],
            "mut_description_to_item_hit_rate@10": self.text_to_item("description", self.dataset.descriptions)[10],
            "asy_titles_to_item_hit_rate@10": self.titles_to_next_item(),
            "asy_history_to_title_loss": self.next_title_loss(),
            "ite_query_hit_rate@10": self.query_to_item(),
            "per_loss": self.preference_loss(),
        }

    def _hits(
        self,
        direction: str,
        values: Sequence[Mapping[str, object]],
        targets: Sequence[int],
        is_held_out: np.ndarray,
        in_sample: np.ndarray | None = None,
    ) -> dict[int, TaskOutcome]:
        """Outcomes by cut-off, 1 and 10."""
        in_sample = np.ones(len(targets), dtype=bool) if in_sample is None else in_sample
        ranks = np.zeros(0, dtype=np.int64)
        if len(targets):
            template = load_templates()[direction][0]
            tokenizer = self.ranker.tokenizer
            room, frame = self.ranker.prompt.room(tokenizer), self.ranker.prompt.frame(tokenizer)
            prompts = [fit_prompt(tokenizer, template.prompt, value, room, frame) for value in values]
            ranks = target_ranks(self.ranker.rank_prompts(prompts, 10)[0], np.asarray(targets))
        sizes = np.ones(len(targets))
        return {
            k: TaskOutcome(((ranks >= 0) & (ranks < k)).astype(float), sizes, is_held_out, in_sample) for k in (1, 10)
        }

    def _sample(self, rows: np.ndarray) -> np.ndarray:
        if not self.limit or len(rows) <= self.limit:
            return rows
        return np.sort(np.random.default_rng(0).choice(rows, self.limit, replace=False))

    def text_to_item(self, field: str, texts: Sequence[str]) -> dict[int, TaskOutcome]:
        """MUT: whether items are found by their text. Of items with the same text, only one can be first.

        Args:
            field: ``title`` or ``description``.
            texts: the text of each item; items without one are left out.

        Returns:
            outcomes by cut-off, 1 and 10.
        """
        rows = np.flatnonzero([bool(text) for text in texts])
        sample = self._sample(rows)
        if self.is_held_out.any():  # complete both groups
            groups = (self._sample(rows[self.is_held_out[rows] == wanted]) for wanted in (True, False))
            rows = np.unique(np.concatenate([sample, *groups]))
        else:
            rows = sample
        values = [{field: texts[row]} for row in rows]
        held_out, in_sample = self.is_held_out[rows], np.isin(rows, sample)
        return self._hits(f"mut_{field}_to_item", values, rows.tolist(), held_out, in_sample)

    def _recent(self) -> list[np.ndarray]:
        """The histories of the cases, as far as they are read."""
        return [self.cases.histories[case][-self.ranker.prompt.max_history :] for case in range(len(self.cases))]

    def titles_to_next_item(self) -> TaskOutcome:
        """ASY: whether the next item is among the first ten if the history consists of titles.

        A case is about held-out texts if one of these titles is held out.
        """
        recent, titles = self._recent(), self.dataset.titles
        values = [{"titles": "; ".join(titles[item][:TITLE_LIMIT] for item in history)} for history in recent]
        held_out = np.array([self.is_held_out[history].any() for history in recent], dtype=bool)
        return self._hits("asy_titles_to_item", values, self.cases.targets.tolist(), held_out)[10]

    def next_title_loss(self) -> TaskOutcome:
        """ASY: cross-entropy of the next item's title after the indices of the history."""
        titles = [self.dataset.titles[item] for item in self.cases.targets]
        values = [{"history": history, "title": title} for history, title in zip(self._recent(), titles, strict=True)]
        return self._losses("asy_history_to_title", values, self.is_held_out[self.cases.targets])

    def query_to_item(self) -> TaskOutcome:
        """ITE: whether the item is among the first ten for an intention without a history.

        The intentions belong to held-out interactions; those of items whose texts are held out may belong to any, or
        to no user.
        """
        rows = held_out_intentions(self.dataset, self.split, self.which)[: self.limit or None]
        in_sample = np.arange(len(rows)) < len(rows)
        if self.is_held_out.any():
            untrained = [*intention_rows(self.dataset, self.split), *item_intention_rows(self.dataset)]
            more = [row for row in untrained if self.is_held_out[row[1]]]
            rows += more[: self.limit or None]
            in_sample = np.arange(len(rows)) < len(in_sample)
        values, targets = [{"intention": text} for _, _, text in rows], [item for _, item, _ in rows]
        held_out = self.is_held_out[np.array(targets, dtype=np.int64)]
        return self._hits("ite_intention_to_item", values, targets, held_out, in_sample)[10]

    def preference_loss(self) -> TaskOutcome:
        """PER: cross-entropy of the preference. It is held out if its user chose an item whose texts are held out."""
        rows = preference_rows(self.dataset, self.split)[: self.limit or None]
        latest = self.ranker.prompt.max_history
        values = [{"history": history[-latest:], "preference": text} for history, text in rows]
        return self._losses("per", values, np.array([self.is_held_out[row[0]].any() for row in rows], dtype=bool))

    @torch.no_grad()
    def _losses(self, direction: str, values: Sequence[Mapping[str, object]], is_held_out: np.ndarray) -> TaskOutcome:
        template, tokenizer = load_templates()[direction][0], self.ranker.tokenizer
        frame, max_length = self.ranker.prompt.frame(tokenizer), self.ranker.prompt.max_length
        sums, counts = np.zeros(len(values)), np.ones(len(values))
        for number, value in enumerate(values):
            answer = tokenizer.encode_segments(fill(template.answer, value), add_eos=True)
            room = None
            if max_length is not None:  # as in training
                bare = bare_length(tokenizer, template.prompt, frame)
                room = max(max_length - len(answer), max_length // 2, bare)
                answer = answer[: max_length - room]
            prompt = fit_prompt(tokenizer, template.prompt, value, room, frame)
            ids = torch.tensor([prompt + answer], device=self.ranker.model.device)
            logits = self.ranker.model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
            sums[number] = float(F.cross_entropy(logits, ids[0, len(prompt) :], reduction="sum"))
            counts[number] = len(answer)
        return TaskOutcome(sums, counts, is_held_out, np.ones(len(values), dtype=bool))
