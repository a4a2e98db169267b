"""Rankers of dense scores: batches, padding, histories, users, and the folder they are read from."""

import numpy as np
import pytest
import torch

from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.dense_recommender import DenseRecommender
from hf_llmrec.methods.lightgcn.configuration_lightgcn import LightGCNConfig
from hf_llmrec.methods.lightgcn.modeling_lightgcn import LightGCNModel
from hf_llmrec.methods.sasrec.configuration_sasrec import SASRecConfig
from hf_llmrec.methods.sasrec.modeling_sasrec import SASRecModel


@pytest.fixture
def model(dataset):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "max_position_embeddings": 6, "initializer_range": 0.3}
    return SASRecModel(SASRecConfig(num_items=dataset.num_items, **sizes))


@pytest.fixture
def histories(dataset):
    split = dataset.split()
    return [split.test.histories[i][: i % 8] for i in range(20)]


def test_every_history_is_ranked_by_its_own_scores(model, dataset, histories):
    ranker = DenseRecommender(model.train(), dataset.item_ids, batch_size=3)
    rows, scores = ranker.rank(histories, 5)
    assert model.training
    model.eval()
    for history, row, score in zip(histories, rows, scores, strict=True):
        items = torch.from_numpy(history[-6:].astype(np.int64))
        items = items if len(items) else torch.tensor([dataset.num_items])
        expected = model.score_histories(items.unsqueeze(0))[0].detach()
        assert row.tolist() == expected.argsort(descending=True)[:5].tolist()
        np.testing.assert_allclose(score, expected[row].numpy(), rtol=1e-4)


def test_limits_and_history_length(model, dataset, histories):
    ranker = DenseRecommender(model, dataset.item_ids)
    rows, _ = ranker.rank(histories, 30, exclude=histories)
    assert all(not set(row) & set(history.tolist()) for row, history in zip(rows, histories, strict=True))
    assert all(
        (row == -1).sum() == 6 + len(set(history.tolist())) for row, history in zip(rows, histories, strict=True)
    )
    rows, _ = ranker.rank(histories, 3, allowed=np.array([4, 2]))
    assert all(sorted(row[:2]) == [2, 4] and row[2] == -1 for row in rows)
    short = DenseRecommender(model, dataset.item_ids, max_history=2)
    cut = [history[-2:] for history in histories]
    np.testing.assert_array_equal(short.rank(histories, 4)[0], ranker.rank(cut, 4)[0])


def test_users_with_vectors_of_their_own(dataset, save_recommender, tmp_path, histories):
    torch.manual_seed(0)
    model = LightGCNModel(LightGCNConfig(num_items=dataset.num_items, num_users=2, embedding_size=4))
    ranker = AutoRecommender.from_pretrained(
        save_recommender(tmp_path, "lightgcn", model, None, {"user_ids": ["u1", "u0"]})
    )
    users = ["u0", "nobody", "u1"]
    rows, _ = ranker.rank(histories[5:8], 4, user_ids=users)
    unknown, _ = ranker.rank(histories[5:8], 4)
    for row, vector in ((rows[0], model.user_embeddings[1]), (rows[2], model.user_embeddings[0])):
        assert row.tolist() == (model.item_embeddings @ vector).argsort(descending=True)[:4].tolist()
    assert rows[1].tolist() == unknown[1].tolist() and rows[0].tolist() != unknown[0].tolist()


def test_a_catalogue_of_another_size_is_refused(model, dataset):
    with pytest.raises(ValueError, match="scores 24 items, the catalogue has 23"):
        DenseRecommender(model, dataset.item_ids[1:])
