"""What rows of LC-Rec's tasks can be made from: users and positions, items, or rows of a table of texts."""

from __future__ import annotations

import logging

import numpy as np

from ...data.interactions import RecDataset
from ...data.splits import RecSplit
from ...prompting.training_text import intention_rows, item_intention_rows, preference_rows
from .neighbors import NeighborPairs
from .prompt import LCRecPrompt

logger = logging.getLogger(__name__)


class TaskCandidates:
    """Lists the candidates of each task. Texts that are held out are in none of them.

    Args:
        dataset: items, texts and tables about interactions.
        split: only its training interactions, and texts about them, are used.
        prompt: the prompt of the sequential task.
        seed: seed of the drawn neighbours.
        is_held_out: bool (num_items,), whose titles, descriptions and intentions are held out; ``None``: none.

    Attributes:
        texts: rows of the text tables by task, ``ite`` and ``per``, once they were asked for.
        pairs: neighbours, once the task ``neighbors`` was asked for.
        has_text: bool (num_items,), whose texts may be trained on.
    """

    pairs: NeighborPairs

    def __init__(
        self,
        dataset: RecDataset,
        split: RecSplit,
        prompt: LCRecPrompt,
        seed: int = 0,
        is_held_out: np.ndarray | None = None,
    ):
        self.dataset, self.split, self.prompt, self.seed = dataset, split, prompt, seed
        self.has_text = np.ones(dataset.num_items, dtype=bool) if is_held_out is None else ~is_held_out
        self.texts: dict[str, list] = {}

    def _prefixes(self) -> np.ndarray:
        """(user, position) of every training interaction but the first of each user; int64 (n, 2)."""
        lengths = np.diff(self.split.train_indptr)
        users = np.repeat(np.arange(len(lengths)), lengths)
        positions = np.arange(len(users)) - np.repeat(self.split.train_indptr[:-1], lengths)
        return np.stack([users, positions], axis=1)[positions > 0]

    def _with_title_before(self, prefixes: np.ndarray) -> np.ndarray:
        """The prefixes in whose history at least one title is not held out."""
        before = np.concatenate([[0], np.cumsum(self.has_text[self.split.train_indices])])
        ends = self.split.train_indptr[prefixes[:, 0]] + prefixes[:, 1]
        starts = ends - np.minimum(prefixes[:, 1], self.prompt.max_history)
        return prefixes[before[ends] > before[starts]]

    def _items_with(self, texts: list[str]) -> np.ndarray:
        has_text = np.array([bool(text) for text in texts], dtype=bool) & self.has_text
        return _numbers(np.flatnonzero(has_text))

    def of_task(self, task: str) -> list[tuple[str, np.ndarray]]:
        """The directions of a task with their candidates.

        Args:
            task: one of `TASKS`.

        Returns:
            pairs of a direction and int64 (n, 2): (user, position), (item, 0) or (row of ``texts``, 0); no pairs for a
            task without a table of texts.
        """
        if task == "seq":
            if self.prompt.form == "prefix":
                return [("seq", self._prefixes())]
            return [("seq_packed", _numbers(np.flatnonzero(np.diff(self.split.train_indptr) > 0)))]
        if task == "neighbors":
            self.pairs = NeighborPairs(self.split, self.dataset.num_items, self.seed)
            return [(task, _numbers(self.pairs.items))]
        described = self._items_with(self.dataset.descriptions)
        if task == "mut":
            titled = self._items_with(self.dataset.titles)
            directions = [("mut_title_to_item", titled), ("mut_item_to_title", titled)]
            if len(described):
                directions += [("mut_description_to_item", described), ("mut_item_to_description", described)]
            return directions
        if task == "asy":
            prefixes = self._prefixes()
            targets = self.split.train_indices[self.split.train_indptr[prefixes[:, 0]] + prefixes[:, 1]]
            directions = [
                ("asy_titles_to_item", self._with_title_before(prefixes)),
                ("asy_history_to_title", prefixes[self.has_text[targets]]),
            ]
            if len(described):
                directions.append(("asy_history_to_description", prefixes[np.isin(targets, described[:, 0])]))
            return directions
        return self._of_table(task)

    def _of_table(self, task: str) -> list[tuple[str, np.ndarray]]:
        if task == "ite":
            rows = [row for row in intention_rows(self.dataset, self.split) if self.has_text[row[1]]]
            of_users = len(rows)  # the others have no history
            rows += [row for row in item_intention_rows(self.dataset) if self.has_text[row[1]]]
        else:  # a preference may be about any item of the history
            of_users = 0
            rows = [row for row in preference_rows(self.dataset, self.split) if self.has_text[row[0]].all()]
        if not rows:
            table = "intentions" if task == "ite" else "preferences"
            logger.warning(
                "dataset %r has no training rows in table %r: task %r is off", self.dataset.name, table, task
            )
            return []
        self.texts[task] = rows
        numbers = _numbers(np.arange(len(rows)))
        if task == "per":
            return [("per", numbers)]
        return [("ite_intention_to_item", numbers), ("ite_history_intention_to_item", numbers[:of_users])]


def _numbers(values: np.ndarray) -> np.ndarray:
    """int64 (n, 2) of int (n,): the values, and zeros."""
    return np.stack([values, np.zeros_like(values)], axis=1).astype(np.int64)
