"""LightGCN: the graph, its export against a dense computation, and training."""

import numpy as np
import pytest
import torch

from hf_llmrec.methods.lightgcn.configuration_lightgcn import LightGCNConfig
from hf_llmrec.methods.lightgcn.recommender import LightGCNRecommender
from hf_llmrec.methods.lightgcn.trainer import EdgeDataset, LightGCNNetwork, LightGCNTrainer
from hf_llmrec.methods.lightgcn.trainer_config import LightGCNTrainingConfig
from hf_llmrec.methods.popularity.recommender import PopularityRecommender


@pytest.fixture(scope="module")
def split(dataset):
    return dataset.split()


@pytest.fixture
def network(dataset, split):
    torch.manual_seed(0)
    sizes = {"num_items": dataset.num_items, "num_users": dataset.num_users, "embedding_size": 8, "num_layers": 3}
    return LightGCNNetwork(split, LightGCNConfig(**sizes))


def dense_embeddings(network, dataset, split):
    """Mean over the layers of D^-1/2 A D^-1/2 applied again and again, by dense matrices."""
    users, size = dataset.num_users, dataset.num_users + dataset.num_items
    adjacency = torch.zeros(size, size)
    for user in range(users):
        for item in split.train_sequence(user):
            adjacency[user, users + item] = adjacency[users + item, user] = 1.0
    scale = adjacency.sum(1).clamp_min(1).rsqrt()
    adjacency = scale[:, None] * adjacency * scale
    layer = network.lightgcn.embedding.weight.detach()
    total = layer.clone()
    for _ in range(3):
        layer = adjacency @ layer
        total += layer
    return total / 4


def test_export_is_the_mean_of_the_layers(network, dataset, split):
    expected = dense_embeddings(network, dataset, split)
    model = network.export(with_users=True)
    torch.testing.assert_close(model.user_embeddings.data, expected[: dataset.num_users])
    torch.testing.assert_close(model.item_embeddings.data, expected[dataset.num_users :])
    assert network.export().config.num_users == 0


def test_a_history_gives_the_vector_of_a_user_without_an_embedding(network, dataset, split):
    """By linearity, a training user's own embedding is all that its vector has beyond that of its items."""
    model = network.export(with_users=True)
    for user in (0, 7):
        items = torch.from_numpy(np.append(split.train_sequence(user), dataset.num_items)).long().unsqueeze(0)
        folded = model.user_vectors(items)[0]
        own = network.lightgcn.embedding.weight[user] / 4
        torch.testing.assert_close(folded + own, model.user_embeddings[user])
        known = model.user_vectors(items.repeat(2, 1), torch.tensor([user, -1]))
        torch.testing.assert_close(known, torch.stack([model.user_embeddings[user], folded]))


def test_the_loss_against_a_loop(network, dataset, split):
    vectors = dense_embeddings(network, dataset, split)
    users, positives, negatives = torch.tensor([0, 3, 3]), torch.tensor([5, 6, 7]), torch.tensor([1, 2, 3])
    margin = [
        vectors[u] @ (vectors[dataset.num_users + p] - vectors[dataset.num_users + n])
        for u, p, n in zip(users, positives, negatives, strict=True)
    ]
    expected = -torch.nn.functional.logsigmoid(torch.stack(margin)).mean()
    torch.testing.assert_close(network(users, positives, negatives)["loss"], expected)
    assert network(users, positives, negatives, regularization=1.0)["loss"] > expected


def test_edges_are_each_drawn_once_an_epoch():
    edges = EdgeDataset(np.arange(10), np.arange(10) + 100, 50, batch_size=4)
    assert len(edges) == 3
    assert len(EdgeDataset(np.arange(10), np.arange(10), 50, batch_size=4, num_processes=2)) == 4
    for epoch in (0, 1, 0):
        batches = [edges.build(slot, epoch) for slot in range(3)]
        users = np.concatenate([batch["users"] for batch in batches])
        assert sorted(users) == list(range(10)) and not np.array_equal(users, np.arange(10))
        assert all(np.array_equal(batch["positives"], batch["users"] + 100) for batch in batches)
        assert all((0 <= batch["negatives"]).all() and (batch["negatives"] < 50).all() for batch in batches)


def test_it_learns(dataset, split, tmp_path):
    recommender = LightGCNRecommender.from_dataset(dataset, embedding_size=16)
    assert not recommender.item_vectors().any(), "nothing is known yet"
    args = LightGCNTrainingConfig(
        output_dir=str(tmp_path), num_train_epochs=40, tokens_per_batch=64, learning_rate=0.02, use_cpu=True
    )

    torch.manual_seed(0)
    trainer = LightGCNTrainer(recommender, args, split=split)
    before = {name: value.clone() for name, value in trainer.network.named_parameters()}
    trainer.train()
    assert all(not torch.equal(before[name], value) for name, value in trainer.network.named_parameters())
    popular = PopularityRecommender.fit(dataset, split).evaluate(split.validation, mask_seen=True)
    learned = recommender.evaluate(split.validation, mask_seen=True)
    assert learned["ndcg@10"] > 2 * popular["ndcg@10"]
    assert trainer.rank() == recommender.evaluate(split.validation).metrics
    assert trainer.user_vectors().shape == (dataset.num_users, 16)
