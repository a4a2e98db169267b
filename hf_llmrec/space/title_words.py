"""Words that distinguish groups of items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer


def distinctive_words(titles: Sequence[str], groups: np.ndarray, count: int = 2) -> dict[int, list[str]]:
    """The words with the largest TF-IDF in the titles of each group.

    Args:
        titles: titles of all items.
        groups: int (num_items,), the group of each item.
        count: largest number of words per group.

    Returns:
        Words by group, largest TF-IDF first; empty if no title has a word.
    """
    vectorizer = CountVectorizer(token_pattern=r"[^\W\d_]{3,}", binary=True)
    try:
        words = vectorizer.fit_transform(titles)
    except ValueError:  # no title has a word
        return {}
    codes, group_of = np.unique(groups, return_inverse=True)
    members = csr_array((np.ones(len(titles)), (group_of, np.arange(len(titles)))))
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(members @ words)
    names = vectorizer.get_feature_names_out()
    words_by_group: dict[int, list[str]] = {}
    for place, code in enumerate(codes.tolist()):
        row = weights[[place]].toarray()[0]
        best = np.argsort(-row, kind="stable")[:count]
        words_by_group[code] = [str(names[word]) for word in best if row[word] > 0]
    return words_by_group
