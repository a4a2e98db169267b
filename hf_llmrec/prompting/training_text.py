"""Selects the texts that training may read: nothing that was written about a validation or test interaction."""

from __future__ import annotations

import numpy as np

from ..data.interactions import RecDataset
from ..data.splits import RecSplit

IntentionRow = tuple[np.ndarray, int, str]  # history before the item, item row, text
PreferenceRow = tuple[np.ndarray, str]  # full training history, text


def held_out_items(split: RecSplit) -> dict[int, set[int]]:
    """Validation and test items by user row.

    Args:
        split: the split of a dataset.
    """
    held: dict[int, set[int]] = {}
    for cases in (split.validation, split.test):
        for user, item in zip(cases.user_rows.tolist(), cases.targets.tolist(), strict=True):
            held.setdefault(user, set()).add(item)
    return held


def last_training_times(dataset: RecDataset, split: RecSplit) -> np.ndarray | None:
    """Timestamp of each user's last training interaction.

    Args:
        dataset: the dataset.
        split: its split.

    Returns:
        int64 (num_users,), the smallest int64 for users without training interactions; ``None`` if the dataset has no
        timestamps.
    """
    if dataset.timestamps is None:
        return None
    lengths = np.diff(split.train_indptr) if split.period_lengths is None else split.period_lengths
    last = dataset.indptr[:-1] + np.maximum(lengths, 1) - 1  # training interactions are a user's earliest
    return np.where(lengths > 0, dataset.timestamps[last], np.iinfo(np.int64).min)


def intention_rows(dataset: RecDataset, split: RecSplit) -> list[IntentionRow]:
    """Intentions about training interactions, with the history before the interaction.

    An intention is left out if its item is both a training item and a held-out target of the user, because the text
    could be about either interaction, and if it is dated after the user's last training interaction.

    Args:
        dataset: the dataset; without a table of intentions there are no rows.
        split: its split.
    """
    if dataset.intentions is None:
        return []
    held, latest = held_out_items(split), last_training_times(dataset, split)
    rows: list[IntentionRow] = []
    columns = [dataset.intentions.column(name).to_pylist() for name in ("user_id", "item_id", "text")]
    dated = latest is not None and "timestamp" in dataset.intentions.column_names
    columns.append(dataset.intentions.column("timestamp").to_pylist() if dated else [None] * len(columns[0]))
    for user_id, item_id, text, when in zip(*columns, strict=True):
        if user_id is None:
            continue
        user, item = dataset.user_row[user_id], dataset.item_row[item_id]
        if latest is not None and when is not None and when > latest[user]:
            continue
        sequence = split.train_sequence(user)
        places = np.flatnonzero(sequence == item)
        if text and len(places) and item not in held.get(user, ()):
            rows.append((sequence[: places[0]], item, text))
    return rows


def item_intention_rows(dataset: RecDataset) -> list[IntentionRow]:
    """Intentions about an item, of no user, such as those that were written from descriptions; with an empty history.

    Args:
        dataset: the dataset; without a table of intentions there are no rows.
    """
    if dataset.intentions is None:
        return []
    columns = (dataset.intentions.column(name).to_pylist() for name in ("user_id", "item_id", "text"))
    none = np.zeros(0, dtype=np.int32)
    return [
        (none, dataset.item_row[item_id], text)
        for user_id, item_id, text in zip(*columns, strict=True)
        if user_id is None and text
    ]


def held_out_intentions(dataset: RecDataset, split: RecSplit, which: str = "test") -> list[IntentionRow]:
    """Intentions about held-out targets, for evaluation only.

    Args:
        dataset: the dataset; without a table of intentions there are no rows.
        split: its split.
        which: ``validation`` or ``test``.
    """
    if dataset.intentions is None:
        return []
    cases = getattr(split, which)
    number = {int(user): i for i, user in enumerate(cases.user_rows)}
    rows: list[IntentionRow] = []
    columns = (dataset.intentions.column(name).to_pylist() for name in ("user_id", "item_id", "text"))
    for user_id, item_id, text in zip(*columns, strict=True):
        case = None if user_id is None else number.get(dataset.user_row[user_id])
        if text and case is not None and int(cases.targets[case]) == dataset.item_row[item_id]:
            rows.append((cases.histories[case], int(cases.targets[case]), text))
    return rows


def preference_rows(dataset: RecDataset, split: RecSplit) -> list[PreferenceRow]:
    """Preferences with the training history that they summarise.

    A preference summarises all but the user's last two interactions, which is the training part of the leave-one-out
    split. Other splits get no rows: part of the summarised interactions may lie after their split point. So do users
    who have interacted with held-out items.

    Args:
        dataset: the dataset; without a table of preferences there are no rows.
        split: its split.
    """
    if dataset.preferences is None or split.strategy != "leave_one_out":
        return []
    users, texts = (dataset.preferences.column(name).to_pylist() for name in ("user_id", "text"))
    lengths = np.diff(split.train_indptr)
    is_complete = np.ones(len(lengths), dtype=bool) if split.period_lengths is None else lengths == split.period_lengths
    rows = ((dataset.user_row[user], text) for user, text in zip(users, texts, strict=True))
    return [(split.train_sequence(row), text) for row, text in rows if text and lengths[row] and is_complete[row]]


def corpus_texts(dataset: RecDataset, split: RecSplit) -> list[str]:
    """All texts that a tokenizer may be trained on: item texts, intentions and preferences.

    Args:
        dataset: the dataset.
        split: its split; texts about held-out interactions are left out.
    """
    texts = [*dataset.titles, *(text for text in dataset.descriptions if text)]
    texts += [text for _, _, text in [*intention_rows(dataset, split), *item_intention_rows(dataset)]]
    texts += [text for _, text in preference_rows(dataset, split)]
    return texts
