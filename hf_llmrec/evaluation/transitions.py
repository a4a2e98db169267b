"""Groups evaluation cases by whether the transition from the last item to the target occurs in training."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from ..data.splits import EvalCases, RecSplit

# Cases whose second steps are computed at once.
_CASES_AT_ONCE = 4096
NOTES = {
    "repeat": "the next item is in the history",
    "seen transition": "last item -> next item occurs in some user's training interactions; no repeats",
    "two-hop transition": "not directly, but via one intermediate item; no repeats",
    "unseen transition": "none of the above, or an empty history",
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
    into = steps.T.tocsr()
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
        second[part] = ahead.multiply(into[targets]).getnnz(axis=1) > 0  # an item after the last and before the target
    direct = direct & has_last & ~repeat
    second = second & has_last & ~repeat & ~direct
    return dict(zip(NOTES, (repeat, direct, second, ~(repeat | direct | second)), strict=True))
