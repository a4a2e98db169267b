"""A shop whose texts tell what follows, and a small sentence-transformers model."""

import numpy as np
import pytest

from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.indexing.text_embeddings import item_texts

KINDS = ("apple", "bread", "candle", "drill", "eraser", "fiddle")
PER_KIND = 8


def kinds_dataset(num_users=150) -> RecDataset:
    """Users walk along a ring of kinds and choose any item of the next kind, which its title names."""
    rng = np.random.default_rng(0)
    users, items, positions = [], [], []
    for user in range(num_users):
        start = int(rng.integers(len(KINDS)))
        for step in range(int(rng.integers(5, 12))):
            positions.append(step)
            users.append(f"u{user}")
            items.append(f"i{(start + step) % len(KINDS) * PER_KIND + int(rng.integers(PER_KIND))}")
    titles = [f"{kind} {kind} {chr(97 + number)}{chr(97 + number)}" for kind in KINDS for number in range(PER_KIND)]
    return RecDataset.from_datasets(
        {"user_id": users, "item_id": items, "position": positions},
        {"item_id": [f"i{item}" for item in range(len(titles))], "title": titles},
        name="kinds",
    )


@pytest.fixture(scope="session")
def kinds() -> RecDataset:
    return kinds_dataset()


@pytest.fixture(scope="session")
def kind_vectors(kinds) -> np.ndarray:
    """Vectors that tell the kind, and a little of the item."""
    noise = np.random.default_rng(1).standard_normal((kinds.num_items, 12)).astype(np.float32) * 0.15
    # Sorted by id, not by number.
    row_kinds = [int(item[1:]) // PER_KIND for item in kinds.item_ids]
    noise[np.arange(kinds.num_items), row_kinds] += 1.0
    return noise


@pytest.fixture(scope="session")
def sentence_folder(kinds, make_sentence_model, tmp_path_factory) -> str:
    return make_sentence_model(tmp_path_factory.mktemp("sentence"), item_texts(kinds))
