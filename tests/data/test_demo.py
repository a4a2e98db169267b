import numpy as np
import pytest

from hf_llmrec.data.demo import COMMUNITIES, LOYALTY, make_demo_shop
from hf_llmrec.evaluation.evaluator import evaluate_ranker
from hf_llmrec.evaluation.oracle import OracleRanker
from hf_llmrec.methods.popularity.recommender import PopularityRecommender


@pytest.fixture(scope="module")
def shop():
    return make_demo_shop()


def test_same_seed_same_shop(shop):
    again = make_demo_shop()
    assert again.dataset.fingerprint == shop.dataset.fingerprint
    assert np.array_equal(again.dataset.indices, shop.dataset.indices)
    assert again.dataset.intentions.equals(shop.dataset.intentions)
    assert not np.array_equal(make_demo_shop(seed=1).dataset.indices[:500], shop.dataset.indices[:500])


def test_size(shop):
    dataset = shop.dataset
    assert (dataset.num_users, dataset.num_items) == (1500, 600)
    assert 14_000 < dataset.num_interactions < 16_000
    assert len(set(dataset.titles)) == 600 and all(dataset.descriptions)


def test_oracle_and_popularity_lie_where_they_should(shop):
    dataset, split = shop.dataset, shop.dataset.split()
    oracle = evaluate_ranker(OracleRanker(shop), split.test, dataset.item_ids, user_ids=dataset.user_ids).metrics
    popular = evaluate_ranker(PopularityRecommender.fit(dataset, split), split.test, dataset.item_ids).metrics
    assert 0.25 <= oracle["ndcg@10"] <= 0.60
    assert popular["ndcg@10"] <= oracle["ndcg@10"] / 5


def test_the_oracle_is_calibrated(shop):
    """Probabilities are those of the data: they sum to 1 and the targets' mean equals its expectation."""
    cases = shop.dataset.split().test
    histories = [cases.histories[i] for i in range(len(cases))]
    probabilities = shop.next_item_probabilities(histories, user_rows=cases.user_rows)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert all(probabilities[i, history].sum() == 0 for i, history in enumerate(histories))
    found = probabilities[np.arange(len(cases)), cases.targets]
    expected = (probabilities**2).sum(axis=1)
    error = np.sqrt(((probabilities**3).sum(axis=1) - expected**2).sum()) / len(cases)
    assert abs(found.mean() - expected.mean()) < 4 * error


def test_look_alikes_are_bought_by_different_communities(shop):
    dataset = shop.dataset
    users = np.repeat(np.arange(dataset.num_users), np.diff(dataset.indptr))
    own = shop.communities[users] == shop.item_community[dataset.indices]
    assert abs(own.mean() - LOYALTY) < 0.08  # noise and taken items pull it down a little
    for group in range(0, 200, 17):
        members = np.flatnonzero(shop.item_group == group)
        assert len(members) == COMMUNITIES and len(set(shop.item_community[members])) == COMMUNITIES
        words = [set(dataset.titles[item].replace(",", " ").split()) for item in members]
        assert len(set.intersection(*words)) >= 4


def test_kinds_follow_one_another(shop):
    dataset = shop.dataset
    kinds = shop.item_kind[dataset.indices]
    same_user = np.ones(len(kinds) - 1, dtype=bool)
    same_user[dataset.indptr[1:-1] - 1] = False
    pairs = np.stack([kinds[:-1], kinds[1:]], axis=1)[same_user]
    likely = shop.transitions[pairs[:, 0], pairs[:, 1]] > 0
    assert likely.mean() > 0.85


def test_popularity_is_skewed(shop):
    counts = np.sort(np.bincount(shop.dataset.indices, minlength=600))[::-1]
    assert counts[:60].sum() > 2.5 * 60 * counts.mean()


def test_preferences_do_not_know_the_held_out_items(shop):
    """A user's preference names departments of its training items only."""
    dataset, split = shop.dataset, shop.dataset.split()
    departments = {name.lower() for name in dataset.categories}
    for user, text in zip(*(dataset.preferences.column(c).to_pylist() for c in ("user_id", "text")), strict=True):
        known = {dataset.categories[item].lower() for item in split.train_sequence(dataset.user_row[user])}
        words = set(text.lower().replace(",", " ").replace(";", " ").split())
        assert words & departments <= known


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="multiple of 600"):
        make_demo_shop(num_items=500)
