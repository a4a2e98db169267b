"""Training rows of LC-Rec's alignment tasks (arXiv 2311.09049, section 3.3), of pairs of neighbours, and of plain text.

A row is built on access from (slot, epoch): its user, item or review, its template and its augmentation follow from a
hash of (seed, epoch, slot). Data-loader workers, processes and resumed runs therefore build the same rows, and epochs
differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...data.epoch_dataset import EpochDataset
from ...data.held_out_texts import HeldOutTexts
from ...data.interactions import RecDataset
from ...data.splits import EvalCases, RecSplit
from ...prompting.fitting import bare_length, fit_prompt
from ...prompting.segments import Items
from ...prompting.templates import Template, fill, placeholders, stable_hash
from .candidates import TaskCandidates
from .plain_text import pack_texts
from .prompt import LCRecPrompt
from .row_lengths import TITLE_LIMIT, RowLengths
from .templates import load_templates
from .tokenization_lcrec import LCRecTokenizer

TASKS = ("seq", "mut", "asy", "ite", "per", "neighbors", "text")
IGNORE = -100


class LCRecDataset(EpochDataset):
    """Rows ``{"input_ids", "labels"}`` of the task mixture; only the answer has labels.

    Args:
        dataset: items, texts and tables about interactions.
        split: only its training interactions, and texts about them, are used.
        tokenizer: the base vocabulary plus index tokens; its item rows are those of the dataset.
        prompt: the prompt of the sequential task.
        task_weights: number of rows of each task (`TASKS`) per epoch, as a multiple of the rows that the task has. 0
            or no weight turns a task off.
        seed: seed of templates, order and augmentation.
        max_length: maximum number of tokens of a row; the oldest items of the history are dropped first.
        item_dropout: probability with which an item of a packed sequence is left out in an epoch.
        held_out_texts: items whose titles, descriptions and intentions are in no row, nor are preferences of users who
            chose them; their indices are trained as all others. ``None``: none.
        plain_text: texts of the task ``text``, which are packed into rows of ``max_length``; every token is a target.

    Raises:
        ValueError: an unknown task, a negative weight, or a mixture without a single row.
    """

    def __init__(
        self,
        dataset: RecDataset,
        split: RecSplit,
        tokenizer: LCRecTokenizer,
        prompt: LCRecPrompt,
        task_weights: Mapping[str, float],
        *,
        seed: int = 0,
        max_length: int = 1024,
        item_dropout: float = 0.0,
        held_out_texts: HeldOutTexts | None = None,
        plain_text: Sequence[str] = (),
    ):
        super().__init__()
        unknown = set(task_weights) - set(TASKS)
        if unknown:
            raise ValueError(f"task_weights: unknown tasks {sorted(unknown)}; the tasks are {TASKS}")
        negative = [task for task, weight in task_weights.items() if weight < 0]
        if negative:
            raise ValueError(f"task_weights: negative weight for {negative}")
        if not 0 <= item_dropout < 1:
            raise ValueError(f"item_dropout must lie in [0, 1), got {item_dropout}")
        self.dataset, self.split, self.tokenizer, self.prompt = dataset, split, tokenizer, prompt
        self._frame = prompt.frame(tokenizer)
        self.seed, self.max_length, self.item_dropout = seed, max_length, item_dropout
        self.packed_prefix = replace(prompt, max_length=max_length).encode_packed_prefix(tokenizer)
        self._bare_lengths: dict[Template, int] = {}
        self.levels = tokenizer.item_index.levels
        templates = load_templates()
        self.templates = {**templates, "neighbors": templates["seq"]}  # a pair is a short history
        self.text_limit = max(16, max_length) * 2  # characters; long texts are cut, but never left out
        self.held_out_texts = held_out_texts
        is_held_out = None if held_out_texts is None else held_out_texts.choose(dataset.num_items)
        candidates_of = TaskCandidates(dataset, split, prompt, seed, is_held_out)
        self._has_text, self._texts = candidates_of.has_text, candidates_of.texts
        self._lengths = RowLengths(dataset, split, tokenizer, prompt.max_history, self.text_limit, self._has_text)
        self._packed_texts: list[list[int]] = []
        if task_weights.get("text", 0.0) > 0:
            if not plain_text:
                raise ValueError("task_weights: the task text needs plain_text")
            self._packed_texts = pack_texts(tokenizer.encode_texts(plain_text), tokenizer.end_token_id, max_length)
        self._directions: list[str] = []
        self._candidates: list[np.ndarray] = []  # per direction int64 (n, 2): (user, position), (item, -) or (row, -)
        counts: list[int] = []
        for task in TASKS:
            weight = float(task_weights.get(task, 0.0))
            directions = candidates_of.of_task(task) if weight > 0 and task != "text" else []
            if self._packed_texts and task == "text":
                directions = [("text", np.stack([np.arange(len(self._packed_texts))] * 2, axis=1))]
            for direction, candidates in directions:
                order = np.argsort(stable_hash(seed, len(self._directions), np.arange(len(candidates))), kind="stable")
                self._directions.append(direction)
                self._candidates.append(candidates[order])
                counts.append(round(weight * len(candidates)))
        if "neighbors" in self._directions:
            self._pairs = candidates_of.pairs
        if sum(counts) == 0:
            raise ValueError(f"task_weights {dict(task_weights)} give no training row on dataset {dataset.name!r}")
        self.rows_per_direction = dict(zip(self._directions, counts, strict=True))
        for direction in self._directions:
            for template in self.templates.get(direction, ()):
                if self._bare_length(template) + max(self.levels, 8) > max_length:
                    raise ValueError(
                        f"max_length {max_length} is too short: the {direction} prompt {template.prompt!r} alone has "
                        f"{self._bare_length(template)} tokens"
                    )
        self._slot_direction = np.repeat(np.arange(len(counts)), counts)
        self._slot_local = np.concatenate([np.arange(count) for count in counts])
        self._counts = np.array(counts)

    def __len__(self) -> int:
        return len(self._slot_direction)

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _candidate(self, slot: int, epoch: int) -> tuple[str, int, int]:
        direction = int(self._slot_direction[slot])
        candidates = self._candidates[direction]
        # With weights below 1, consecutive epochs use consecutive candidates, so that all are used in turn.
        index = (int(self._slot_local[slot]) + epoch * int(self._counts[direction])) % len(candidates)
        first, second = candidates[index]
        return self._directions[direction], int(first), int(second)

    def lengths(self, epoch: int) -> np.ndarray:
        """Tokens of each row; the length of its template is the mean over the templates of its direction.

        Args:
            epoch: from 0.

        Returns:
            int64 (rows,).
        """
        tokens = np.zeros(len(self), dtype=np.int64)
        for number, direction in enumerate(self._directions):
            slots = self._slot_direction == number
            candidates = self._candidates[number]
            index = (self._slot_local[slots] + epoch * self._counts[number]) % len(candidates)
            tokens[slots] = np.minimum(self._tokens(direction, *candidates[index].T), self.max_length)
        return tokens

    def _tokens(self, direction: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Tokens of candidates, given by their two columns, int64 (n,) each."""
        if direction == "seq_packed":
            window = np.minimum(np.diff(self.split.train_indptr), self.prompt.max_history + 1)
            return window[first] * self.levels + len(self.packed_prefix)
        if direction == "text":
            return np.array([len(row) for row in self._packed_texts], dtype=np.int64)[first]
        counts, levels = self._lengths, self.levels
        if direction == "neighbors":
            if self.prompt.form == "packed":
                return np.full(len(first), len(self.packed_prefix) + 2 * levels)
            direction, second = "seq", np.ones(len(first), dtype=np.int64)
        words = round(float(np.mean([self._bare_length(template) for template in self.templates[direction]])))
        if direction.startswith("mut_"):
            own = counts.titles() if "title" in direction else counts.descriptions()
            return words + own[first] + levels * direction.endswith("_to_item")
        if direction.startswith("ite_") or direction == "per":
            rows = self._texts[direction[:3]]
            texts = counts.of_texts(direction[:3], [row[-1] for row in rows])[first]
            histories = np.array([len(row[0]) for row in rows])[first]
            read = counts.histories(histories) * (direction != "ite_intention_to_item")
            return words + texts + read + levels * direction.startswith("ite_")
        if direction == "asy_titles_to_item":
            return words + counts.title_histories(first, second) + levels
        answer = np.full(len(first), levels)
        if direction != "seq":
            own = counts.titles() if direction.endswith("title") else counts.descriptions()
            answer = own[counts.targets(first, second)]
        return words + counts.histories(second) + answer

    def build(self, slot: int, epoch: int) -> dict[str, list[int]]:
        """Build one row.

        Args:
            slot: number of the row, from 0.
            epoch: from 0.

        Returns:
            ``input_ids`` and ``labels`` of equal length; labels are -100 outside the answer.
        """
        direction, first, second = self._candidate(slot, epoch)
        if direction == "seq_packed":
            return self._packed(first, epoch)
        if direction == "text":
            return {"input_ids": self._packed_texts[first], "labels": list(self._packed_texts[first])}
        if direction == "neighbors":
            second = self._pairs.draw(first, epoch, slot)
            if self.prompt.form == "packed":
                return self._pair(first, second)
        choices = self.templates[direction]
        template = choices[int(stable_hash(self.seed, epoch, slot) % np.uint64(len(choices)))]
        return self._from_template(template, self._values(direction, first, second))

    def _pair(self, item: int, neighbor: int) -> dict[str, list[int]]:
        """A packed sequence of two items. The first one is no target: every item comes first equally often."""
        prompt = self.packed_prefix + self.tokenizer.encode_segments([Items([item])])
        answer = self.tokenizer.encode_segments([Items([neighbor])])
        return {"input_ids": prompt + answer, "labels": [IGNORE] * len(prompt) + answer}

    def _packed(self, user: int, epoch: int) -> dict[str, list[int]]:
        items = self.split.train_sequence(user)
        window = self.prompt.max_history + 1
        if len(items) > window:
            start = int(stable_hash(self.seed, epoch, user, 1) % np.uint64(len(items) - window + 1))
            items = items[start : start + window]
        if self.item_dropout > 0 and len(items) > 2:
            draws = stable_hash(self.seed, epoch, user, np.arange(2, 2 + len(items)))
            remaining = items[(draws >> np.uint64(11)) * 2.0**-53 >= self.item_dropout]
            items = remaining if len(remaining) >= 2 else items
        prefix = self.packed_prefix
        fitting = (self.max_length - len(prefix)) // self.levels
        answer = self.tokenizer.encode_segments([Items(items[-fitting:])])
        return {"input_ids": prefix + answer, "labels": [IGNORE] * len(prefix) + answer}

    def _bare_length(self, template: Template) -> int:
        """Tokens of a template's own words, plus those of the item that some templates contain."""
        if template not in self._bare_lengths:
            items = self.levels * ("item" in placeholders(template.prompt))
            self._bare_lengths[template] = bare_length(self.tokenizer, template.prompt, self._frame) + items
        return self._bare_lengths[template]

    def _values(self, direction: str, first: int, second: int) -> dict[str, object]:
        titles, descriptions = self.dataset.titles, self.dataset.descriptions
        if direction == "neighbors":
            return {"history": [first], "item": [second]}
        if direction.startswith("mut_"):
            description = descriptions[first][: self.text_limit]
            return {"item": [first], "title": titles[first][: self.text_limit], "description": description}
        if direction.startswith("ite_"):
            history, item, text = self._texts["ite"][first]
            return {
                "history": history[-self.prompt.max_history :],
                "item": [item],
                "intention": text[: self.text_limit],
            }
        if direction == "per":
            history, text = self._texts["per"][first]
            return {"history": history[-self.prompt.max_history :], "preference": text[: self.text_limit]}
        sequence = self.split.train_sequence(first)
        history, target = sequence[max(0, second - self.prompt.max_history) : second], int(sequence[second])
        return {
            "history": history,
            "titles": "; ".join(titles[item][:TITLE_LIMIT] for item in history if self._has_text[item]),
            "item": [target],
            "title": titles[target][: self.text_limit],
            "description": descriptions[target][: self.text_limit],
        }

    def _from_template(self, template: Template, values: dict[str, object]) -> dict[str, list[int]]:
        encode = self.tokenizer.encode_segments
        answer = encode(fill(template.answer, values), add_eos=not template.answer_is_item)
        # The answer gets at most half of the row, and less if the template's own words need more than the other half.
        room = max(self.max_length - len(answer), self.max_length // 2, self._bare_length(template))
        prompt = fit_prompt(self.tokenizer, template.prompt, values, room, self._frame)
        answer = answer[: self.max_length - room]
        return {"input_ids": prompt + answer, "labels": [IGNORE] * len(prompt) + answer}


class LCRecEvalDataset(EpochDataset):
    """Rows for the validation loss: each case's history as prompt, its target's index as answer.

    Args:
        tokenizer: the tokenizer of the training.
        prompt: the prompt of the training; its first template is used.
        cases: the users with their histories and targets.
    """

    def __init__(self, tokenizer: LCRecTokenizer, prompt: LCRecPrompt, cases: EvalCases):
        super().__init__()
        self.tokenizer, self.prompt, self.cases = tokenizer, prompt, cases

    def __len__(self) -> int:
        return len(self.cases)

    def build(self, slot: int, epoch: int = 0) -> dict[str, list[int]]:
        """Build one row.

        Args:
            slot: number of the case, from 0.
            epoch: not used: rows are the same in all epochs.

        Returns:
            ``input_ids`` and ``labels`` of equal length; labels are -100 outside the answer.
        """
        prompt = self.prompt.encode_history(self.tokenizer, self.cases.histories[slot])
        answer = self.tokenizer.encode_segments([Items([int(self.cases.targets[slot])])])
        return {"input_ids": prompt + answer, "labels": [IGNORE] * len(prompt) + answer}
