"""The graph against sets: construction, sampling, hops, most-shared-first."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_llmrec.data.graph import InteractionGraph

USERS, ITEMS = 12, 9


@st.composite
def pairs(draw):
    count = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    return rng.integers(USERS, size=count), rng.integers(ITEMS, size=count)


def build(users, items) -> InteractionGraph:
    return InteractionGraph.from_arrays(users, items, USERS, ITEMS)


@given(pairs())
def test_every_pair_once_in_both_directions_and_in_order(log):
    users, items = log
    graph = build(users, items)
    for user in range(USERS):
        expected = list(dict.fromkeys(items[users == user].tolist()))
        assert graph.user_items.of(user).tolist() == expected
    for item in range(ITEMS):
        assert sorted(graph.item_users.of(item).tolist()) == sorted(set(users[items == item].tolist()))
    assert (graph.num_users, graph.num_items) == (USERS, ITEMS)


@given(pairs(), st.integers(1, 12), st.integers(0, 1000))
def test_samples_are_distinct_neighbours_and_as_many_as_there_are(log, fan_out, seed):
    graph = build(*log)
    for side, count in (("user", USERS), ("item", ITEMS)):
        nodes = np.append(np.arange(count), -1)
        found = graph.sample(side, nodes, fan_out, np.random.default_rng(seed))
        assert found.shape == (count + 1, fan_out) and (found[-1] == -1).all()
        for node in range(count):
            real = found[node][found[node] >= 0].tolist()
            neighbours = set(graph.adjacency(side).of(node).tolist())
            assert len(real) == len(set(real)) == min(fan_out, len(neighbours)) and set(real) <= neighbours
            assert (found[node][len(real) :] == -1).all()


@pytest.mark.parametrize("degree, fan_out", [(10, 4), (500, 4), (33, 4), (40, 5)])
def test_samples_are_uniform(degree, fan_out):
    """Few neighbours are shuffled, many are drawn; both give every neighbour the same chance at every place."""
    graph = InteractionGraph.from_arrays(np.zeros(degree, int), np.arange(degree), 1, degree)
    found = graph.sample("user", np.zeros(20_000, dtype=int), fan_out, np.random.default_rng(0))
    for column in range(fan_out):
        counts = np.bincount(found[:, column], minlength=degree)
        expected = 20_000 / degree
        assert ((counts - expected) ** 2 / expected).sum() < degree + 6 * np.sqrt(2 * degree)  # chi squared
    assert all(len(set(row)) == fan_out for row in found[:200].tolist())


@given(pairs(), st.integers(0, 1000))
def test_hops_walk_along_edges_and_never_come_home(log, seed):
    graph = build(*log)
    nodes = np.arange(USERS)
    one, two, three = graph.sample_hops("user", nodes, (3, 4, 2), seed=seed)
    assert one.shape == (USERS, 3) and two.shape == (USERS, 3, 4) and three.shape == (USERS, 3, 4, 2)
    for user in nodes:
        assert set(one[user].tolist()) <= {*graph.user_items.of(user).tolist(), -1}
        for item, users, beyond in zip(one[user], two[user], three[user], strict=True):
            assert user not in users.tolist()
            assert set(users.tolist()) <= ({*graph.item_users.of(item).tolist(), -1} if item >= 0 else {-1})
            for other, items in zip(users, beyond, strict=True):
                assert set(items.tolist()) <= ({*graph.user_items.of(other).tolist(), -1} if other >= 0 else {-1})
    again = graph.sample_hops("user", nodes, (3, 4, 2), seed=seed)
    assert all(np.array_equal(a, b) for a, b in zip(again, (one, two, three), strict=True))


@given(pairs(), st.sampled_from(["user", "item"]), st.integers(1, 5))
def test_most_shared_against_counting(log, side, chunk):
    graph = build(*log)
    count = USERS if side == "user" else ITEMS
    neighbours = [set(graph.adjacency(side).of(node).tolist()) for node in range(count)]
    found = graph.most_shared(side, 4, chunk=chunk)
    for node in range(count):
        shared = Counter({o: len(neighbours[node] & neighbours[o]) for o in range(count) if o != node})
        expected = sorted((o for o in shared if shared[o]), key=lambda other: (-shared[other], other))[:4]
        assert found[node].tolist() == expected + [-1] * (4 - len(expected))
    some = np.array([3, 1])
    assert np.array_equal(graph.most_shared(side, 4, nodes=some), found[some])


def test_what_everybody_has_is_counted_by_a_sample():
    """Item 0 joins all users; items 1.. join pairs. Sampling item 0 leaves the pairs on top."""
    users = np.concatenate([np.arange(400), np.arange(400), np.arange(400)])
    items = np.concatenate([np.zeros(400, int), 1 + np.arange(400) // 2, 201 + np.arange(400) // 2])
    graph = InteractionGraph.from_arrays(users, items, 400, 401)
    found = graph.most_shared("user", 3, max_degree=20)
    assert (found[:, 0] == (np.arange(400) ^ 1)).all()
    assert np.array_equal(found, graph.most_shared("user", 3, max_degree=20))
    assert len(set(found[:, 1:].ravel().tolist()) - {-1}) <= 21  # beside the pair only those in the sample


def test_held_out_interactions_are_in_no_neighbourhood(dataset):
    split = dataset.split()
    graph = InteractionGraph.from_split(split, dataset.num_items)
    for user in range(dataset.num_users):
        assert graph.user_items.of(user).tolist() == list(dict.fromkeys(split.train_sequence(user).tolist()))
    assert len(graph.item_users.indices) == len(graph.user_items.indices)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: build(np.array([0, 1]), np.array([0])), "one length"),
        (lambda: build(np.array([0, 99]), np.array([0, 1])), "user row 99 does not exist"),
        (lambda: build(np.array([0]), np.array([-1])), "item row -1 does not exist"),
        (lambda: build(np.array([0]), np.array([0])).sample("shop", np.array([0]), 2, None), "side must be"),
        (lambda: build(np.array([0]), np.array([0])).sample_hops("user", np.array([0]), (1, 1, 1, 1)), "three hops"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
