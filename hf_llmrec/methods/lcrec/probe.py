"""The probe of arXiv 2311.09049, section 4.4: is the true next item scored above an item that is near to it?"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from ...data.interactions import RecDataset
from ...data.splits import EvalCases, RecSplit
from ...generation.beam_search import score_items
from .recommender import LCRecRecommender


def text_near_items(dataset: RecDataset) -> np.ndarray:
    """Find for every item the other item with the most similar title and description (TF-IDF cosine).

    Args:
        dataset: its titles and descriptions are compared.

    Returns:
        int64 (num_items,), item rows.
    """
    pairs = zip(dataset.titles, dataset.descriptions, strict=True)
    texts = TfidfVectorizer(token_pattern=r"(?u)\w+|[^\w\s]").fit_transform([f"{t} {d}" for t, d in pairs])
    nearest = np.empty(dataset.num_items, dtype=np.int64)
    for start in range(0, dataset.num_items, 1024):
        rows = np.arange(start, min(start + 1024, dataset.num_items))
        similarity = (texts[rows] @ texts.T).toarray()
        similarity[np.arange(len(rows)), rows] = -1.0
        nearest[rows] = similarity.argmax(axis=1)
    return nearest


def co_purchase_near_items(dataset: RecDataset, split: RecSplit) -> np.ndarray:
    """Find for every item the other item that is most often in the same *training* sequence.

    Args:
        dataset: gives the numbers of users and items.
        split: its training interactions are counted.

    Returns:
        int64 (num_items,), item rows, -1 for items that share no sequence with another.
    """
    lengths = np.diff(split.train_indptr)
    users = np.repeat(np.arange(dataset.num_users), lengths)
    shape = (dataset.num_users, dataset.num_items)
    matrix = csr_matrix((np.ones(len(users), dtype=np.float32), (users, split.train_indices)), shape=shape)
    matrix.data[:] = 1.0
    together = (matrix.T @ matrix).tolil()
    together.setdiag(0)
    together = together.tocsr()
    together.eliminate_zeros()
    nearest = np.full(dataset.num_items, -1, dtype=np.int64)
    for item in range(dataset.num_items):
        row = slice(together.indptr[item], together.indptr[item + 1])
        if row.stop > row.start:
            nearest[item] = together.indices[row][together.data[row].argmax()]
    return nearest


def probe(ranker: LCRecRecommender, dataset: RecDataset, split: RecSplit, cases: EvalCases) -> dict[str, float | None]:
    """Share of cases in which the true next item is scored above a near negative.

    Args:
        ranker: the trained recommender.
        dataset: gives the texts of items.
        split: its training sequences are counted.
        cases: histories and true next items.

    Returns:
        ``probe_text``: the negative is the item with the most similar text. ``probe_co_purchase``: it is the item
        that is most often in the same training sequence as the true one; cases without such an item are left out.
        ``None`` if no case is left.
    """
    negatives = {
        "probe_text": text_near_items(dataset)[cases.targets],
        "probe_co_purchase": co_purchase_near_items(dataset, split)[cases.targets],
    }
    shares: dict[str, float | None] = {}
    for name, other in negatives.items():
        numbers = np.flatnonzero(other >= 0)
        is_above: list[np.ndarray] = []
        for start in range(0, len(numbers), ranker.batch_size):
            batch = numbers[start : start + ranker.batch_size]
            prompts = [ranker.prompt.encode_history(ranker.tokenizer, cases.histories[i]) for i in batch]
            input_ids, mask = ranker._left_pad(prompts)
            pairs = torch.from_numpy(np.stack([cases.targets[batch], other[batch]], axis=1)).long()
            scores = score_items(
                ranker.model,
                input_ids,
                mask,
                ranker.trie,
                ranker._level_token_ids,
                pairs.to(input_ids.device),
                normalize=ranker.normalize,
            )
            is_above.append((scores[:, 0] > scores[:, 1]).cpu().numpy())
        shares[name] = float(np.concatenate(is_above).mean()) if is_above else None
    return shares
