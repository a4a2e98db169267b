"""Texts that training may read: nothing written about a user's validation or test interaction gets through."""

from __future__ import annotations

import numpy as np

from ..data.interactions import RecDataset
from ..data.splits import RecSplit

IntentionRow = tuple[np.ndarray, int, str]  # history before the item, item row, text
PreferenceRow = tuple[np.ndarray, str]  # whole training history, text


def held_out_items(split: RecSplit) -> dict[int, set[int]]:
    """Validation and test items of each user row."""
    held: dict[int, set[int]] = {}
    for cases in (split.validation, split.test):
        for user, item in zip(cases.user_rows.tolist(), cases.targets.tolist(), strict=True):
            held.setdefault(user, set()).add(item)
    return held


def last_training_times(dataset: RecDataset, split: RecSplit) -> np.ndarray | None:
    """int64 (num_users,): when each user's last training interaction took place; ``None`` without timestamps."""
    if dataset.timestamps is None:
        return None
    lengths = np.diff(split.train_indptr)
    last = dataset.indptr[:-1] + np.maximum(lengths, 1) - 1  # training interactions are a user's earliest
    return np.where(lengths > 0, dataset.timestamps[last], np.iinfo(np.int64).min)


def intention_rows(dataset: RecDataset, split: RecSplit) -> list[IntentionRow]:
    """Intentions about training interactions, with what the user had chosen before.

    An item that a user has both in training and as a held-out target is left out: the text could be about either. So is
    a text that is dated after the user's last training interaction.
    """
    if dataset.intentions is None:
        return []
    held, latest = held_out_items(split), last_training_times(dataset, split)
    rows: list[IntentionRow] = []
    columns = [dataset.intentions.column(name).to_pylist() for name in ("user_id", "item_id", "text")]
    dated = latest is not None and "timestamp" in dataset.intentions.column_names
    columns.append(dataset.intentions.column("timestamp").to_pylist() if dated else [None] * len(columns[0]))
    for user_id, item_id, text, when in zip(*columns, strict=True):
        user, item = dataset.user_row[user_id], dataset.item_row[item_id]
        if when is not None and when > latest[user]:
            continue
        sequence = split.train_sequence(user)
        places = np.flatnonzero(sequence == item)
        if text and len(places) and item not in held.get(user, ()):
            rows.append((sequence[: places[0]], item, text))
    return rows


def held_out_intentions(dataset: RecDataset, split: RecSplit, which: str = "test") -> list[IntentionRow]:
    """Intentions about the held-out target of ``which`` (``validation`` or ``test``), for evaluation only."""
    if dataset.intentions is None:
        return []
    cases = getattr(split, which)
    number = {int(user): i for i, user in enumerate(cases.user_rows)}
    rows: list[IntentionRow] = []
    columns = (dataset.intentions.column(name).to_pylist() for name in ("user_id", "item_id", "text"))
    for user_id, item_id, text in zip(*columns, strict=True):
        case = number.get(dataset.user_row[user_id])
        if text and case is not None and int(cases.targets[case]) == dataset.item_row[item_id]:
            rows.append((cases.histories[case], int(cases.targets[case]), text))
    return rows


def preference_rows(dataset: RecDataset, split: RecSplit) -> list[PreferenceRow]:
    """Preferences with the training history they sum up.

    The table sums up all but each user's last two interactions, the training part of the leave-one-out split. Other
    splits do not read it: part of what it tells may lie after their split point.
    """
    if dataset.preferences is None or split.strategy != "leave_one_out":
        return []
    users, texts = (dataset.preferences.column(name).to_pylist() for name in ("user_id", "text"))
    found = ((split.train_sequence(dataset.user_row[user]), text) for user, text in zip(users, texts, strict=True))
    return [(history, text) for history, text in found if text and len(history)]


def corpus_texts(dataset: RecDataset, split: RecSplit) -> list[str]:
    """Everything a tokenizer may be trained on: the catalogue's texts and training users' own words."""
    texts = [*dataset.titles, *(text for text in dataset.descriptions if text)]
    texts += [text for _, _, text in intention_rows(dataset, split)]
    texts += [text for _, text in preference_rows(dataset, split)]
    return texts
