"""Words that tell a group of items from the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer


def telling_words(titles: Sequence[str], groups: np.ndarray, count: int = 2) -> dict[int, list[str]]:
    """The words with the largest tf-idf of each group's titles.

    Args:
        titles: of all items. groups: int (num_items,), the group of each.
        count: words per group, at most.
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
    found = {}
    for place, code in enumerate(codes.tolist()):
        row = weights[[place]].toarray()[0]
        best = np.argsort(-row, kind="stable")[:count]
        found[code] = [str(names[word]) for word in best if row[word] > 0]
    return found
