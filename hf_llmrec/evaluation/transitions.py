"""What a model can know of a case from training: whether the step from the last item to the target was seen there."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from ..data.splits import EvalCases, RecSplit

# Cases whose second steps are computed at once.
_CASES_AT_ONCE = 4096
NOTES = {
    "repeat": "the next item is one of the history",
    "known transition": "some user's training interactions go from the last item directly to the next one; no repeat",
    "two steps": "not directly, but by way of one other item; no repeat",
    "new transition": "neither; histories without an item included",
}


def transition_groups(split: RecSplit, cases: EvalCases, num_items: int) -> dict[str, np.ndarray]:
    """Divide cases by how the last item of the history leads to the target in the training interactions.

    Args:
        split: its training sequences are read.
        cases: the cases; with several relevant items per user the first one counts.
        num_items: number of items of the catalogue.

    Returns:
        per group of `NOTES` bool (n,): every case is in one of them.
    """
    items, users = split.train_indices, split.train_users
    together = users[1:] == users[:-1]
    steps = csr_matrix(
        (np.ones(int(together.sum()), dtype=bool), (items[:-1][together], items[1:][together])),
        shape=(num_items, num_items),
    )
    repeat, direct, second = np.zeros((3, len(cases)), dtype=bool)
    has_last = np.zeros(len(cases), dtype=bool)
    last = np.zeros(len(cases), dtype=np.int64)
    for number in range(len(cases)):
        history = cases.histories[number]
        if len(history):
            has_last[number], last[number] = True, history[-1]
            repeat[number] = cases.targets[number] in history
    for start in range(0, len(cases), _CASES_AT_ONCE):
        part = slice(start, start + _CASES_AT_ONCE)
        ahead, targets = steps[last[part]], cases.targets[part]
        rows = np.arange(len(targets))
        direct[part] = np.asarray(ahead[rows, targets]).ravel()
        second[part] = np.asarray((ahead @ steps)[rows, targets]).ravel()
    direct = direct & has_last & ~repeat
    second = second & has_last & ~repeat & ~direct
    return dict(zip(NOTES, (repeat, direct, second, ~(repeat | direct | second)), strict=True))
