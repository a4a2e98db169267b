"""Popularity and nearest neighbours against loops."""

import numpy as np
import pytest
import torch
from transformers import AutoModel

from hf_llmrec.methods.item_knn.fit import fit_item_knn
from hf_llmrec.methods.popularity.fit import fit_popularity


@pytest.fixture(scope="module")
def split(dataset):
    return dataset.split()


def test_popularity_counts_training_interactions(dataset, split):
    model = fit_popularity(split, dataset.num_items)
    expected = [sum(int(i == item) for i in split.train_indices) for item in range(dataset.num_items)]
    assert model.item_counts.tolist() == expected
    assert model.score_histories(torch.zeros(3, 2, dtype=torch.long)).tolist() == [expected] * 3


def brute_force(dataset, split, history, decay, shrinkage):
    users = [set(split.train_sequence(user).tolist()) for user in range(dataset.num_users)]
    buyers = [{user for user, items in enumerate(users) if item in items} for item in range(dataset.num_items)]
    scores = np.zeros(dataset.num_items)
    for age, item in enumerate(reversed(history)):
        for other in range(dataset.num_items):
            shared = len(buyers[item] & buyers[other])
            if other != item and shared:
                similarity = shared / (np.sqrt(len(buyers[item]) * len(buyers[other])) + shrinkage)
                scores[other] += decay**age * similarity
    return scores


@pytest.mark.parametrize("decay, shrinkage", [(0.0, 0.0), (0.6, 3.0), (1.0, 0.0)])
def test_neighbours_against_a_loop(dataset, split, decay, shrinkage, monkeypatch):
    monkeypatch.setattr("hf_llmrec.data.co_occurrence.ITEMS_AT_ONCE", 5)
    model = fit_item_knn(split, dataset.num_items, decay=decay, shrinkage=shrinkage)
    histories = [[3], [1, 2, 9], [7, 7]]
    padded = torch.tensor([row + [dataset.num_items] * (4 - len(row)) for row in histories])
    for row, history in zip(model.score_histories(padded), histories, strict=True):
        expected = brute_force(dataset, split, history, decay, shrinkage)
        np.testing.assert_allclose(row.numpy(), expected, atol=3e-6)  # popularity is the rest


def test_items_without_neighbours_follow_by_popularity_and_few_neighbours_are_the_nearest(dataset, split):
    model = fit_item_knn(split, dataset.num_items, num_neighbors=2)
    full = fit_item_knn(split, dataset.num_items)
    np.testing.assert_array_equal(model.neighbors.numpy(), full.neighbors[:, :2].numpy())
    empty = model.score_histories(torch.tensor([[dataset.num_items]]))[0]
    counts = fit_popularity(split, dataset.num_items).item_counts
    assert torch.equal(empty.argsort(stable=True), counts.argsort(stable=True)) and empty.max() < 1e-5


def test_they_are_models_like_any_other(dataset, split, tmp_path):
    for name, model in {"knn": fit_item_knn(split, dataset.num_items), "pop": fit_popularity(split, 24)}.items():
        model.save_pretrained(tmp_path / name)
        loaded = AutoModel.from_pretrained(tmp_path / name)
        histories = torch.tensor([[1, 2, 3], [4, 24, 24]])
        assert type(loaded) is type(model)
        torch.testing.assert_close(loaded.score_histories(histories), model.score_histories(histories))
