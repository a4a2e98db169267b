import numpy as np

from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.methods.lcrec.probe import co_purchase_near_items, text_near_items

ITEMS = {"item_id": [*"abcd"], "title": ["red cup", "red cup big", "blue kettle", "garden hose"]}


def dataset(log: list[str]) -> RecDataset:
    users = [f"u{number}" for number, items in enumerate(log) for _ in items]
    positions = [position for items in log for position in range(len(items))]
    table = {"user_id": users, "item_id": [item for items in log for item in items], "position": positions}
    return RecDataset.from_datasets(table, ITEMS)


def test_text_neighbours_are_never_the_item_itself():
    nearest = text_near_items(dataset(["abcd"]))
    assert nearest[:2].tolist() == [1, 0] and (nearest != np.arange(4)).all()


def test_co_purchases_count_training_sequences_only():
    data = dataset(["abcd", "abdc", "cab"])  # training: ab, ab, c
    assert co_purchase_near_items(data, data.split()).tolist() == [1, 0, -1, -1]
