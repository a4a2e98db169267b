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


def intention_rows(dataset: RecDataset, split: RecSplit) -> list[IntentionRow]:
    """Intentions about training interactions, with what the user had chosen before.

    An item that a user has both in training and as a held-out target is left out: the text could be about either.
    """
    if dataset.intentions is None:
        return []
    held = held_out_items(split)
    rows: list[IntentionRow] = []
    columns = (dataset.intentions.column(name).to_pylist() for name in ("user_id", "item_id", "text"))
    for user_id, item_id, text in zip(*columns, strict=True):
        user, item = dataset.user_row[user_id], dataset.item_row[item_id]
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
    """Preferences with the training history they sum up. The table must be built from training interactions."""
    if dataset.preferences is None:
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
