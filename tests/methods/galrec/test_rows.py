"""Examples: what is predicted is nowhere in what is read, and the checks of that can fail."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_llmrec.data.graph import InteractionGraph
from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.methods.galrec import neighborhood, rows
from hf_llmrec.methods.galrec.configuration_galrec import GALRecConfig
from hf_llmrec.methods.galrec.prompt import GALRecLayout, GALRecPrompt
from hf_llmrec.methods.galrec.rows import GALRecDataset, GALRecEvalDataset, served_sequence

MASKS = ("known_items", "known_users", "item_known_users")


def shop(seed: int, num_users: int = 25, num_items: int = 18, repeats: bool = False):
    """(split, graph) of random users."""
    rng = np.random.default_rng(seed)
    users, items, positions = [], [], []
    for user in range(num_users):
        chosen = rng.choice(num_items, size=int(rng.integers(4, 10)), replace=repeats)
        users += [f"u{user:02d}"] * len(chosen)
        items += [f"i{item:02d}" for item in chosen]
        positions += list(range(len(chosen)))
    table = {"item_id": [f"i{item:02d}" for item in range(num_items)], "title": [""] * num_items}
    dataset = RecDataset.from_datasets({"user_id": users, "item_id": items, "position": positions}, table)
    split = dataset.split()
    return split, InteractionGraph.from_split(split, num_items)


def without_edge(graph: InteractionGraph, user: int, item: int) -> InteractionGraph:
    users = np.repeat(np.arange(graph.num_users), graph.user_items.degrees)
    items = graph.user_items.indices
    keep = (users != user) | (items != item)
    assert keep.sum() == len(keep) - 1
    return InteractionGraph.from_arrays(users[keep], items[keep], graph.num_users, graph.num_items)


def examples(split, graph, **options) -> GALRecDataset:
    prompt = {"template": "bare", "title_hops": (), "hops": 3, "num_neighbors": 4, "num_neighbor_items": 4}
    prompt |= {name: options.pop(name) for name in ("neighbor_order", "hops", "max_history") if name in options}
    config = GALRecConfig(num_items=graph.num_items)
    return GALRecDataset(split, graph, GALRecLayout(GALRecPrompt(**prompt), config), audience_size=4, **options)


def same(first, second) -> bool:
    """Equal fields; what is masked is a set."""
    plain = [name for name in first if name not in (*MASKS, "earlier_pairs")]
    masks = all(set(first[name].tolist()) == set(second[name].tolist()) for name in MASKS)
    return masks and all(np.array_equal(first[name], second[name]) for name in plain)


def same_earlier_pairs(first, second) -> bool:
    pairs = list(zip(first["earlier_pairs"], second["earlier_pairs"], strict=True))
    names = ("item", "item_ids", "user_items")
    plain = all(np.array_equal(one[name], other[name]) for one, other in pairs for name in names)
    masks = ("known_items", "item_known_users")
    return plain and all(set(one[name]) == set(other[name]) for one, other in pairs for name in masks)


def check_edge_free(split, graph, slots, epoch=0, **options) -> None:
    """Deleting the edge between an example's user and its target changes nothing about the example."""
    whole = examples(split, graph, **options)
    for slot in slots:
        row = whole.build(slot, epoch)
        if not row["has_pair"]:
            continue
        cut = examples(split, without_edge(graph, row["user"], row["item"]), **options).build(slot, epoch)
        assert same(row, cut) and same_earlier_pairs(row, cut), f"example {slot} knows its own edge"
        for number, pair in enumerate(row["earlier_pairs"]):
            cut = examples(split, without_edge(graph, row["user"], pair["item"]), **options).build(slot, epoch)
            found = ({**parts, "earlier_pairs": [parts["earlier_pairs"][number]]} for parts in (row, cut))
            assert same_earlier_pairs(*found), f"an earlier pair of example {slot} knows its own edge"


def entity_tokens(config, ids) -> set[int]:
    return {int(token) for token in ids if token >= config.first_item_id}


def check_pairs_are_disjoint(rows: GALRecDataset, slots, epoch=0) -> None:
    """The two sides of a positive pair share no index token, and nobody is a neighbour of itself."""
    config = rows.layout.config
    special = config.special_token_ids
    for slot in slots:
        row = rows.build(slot, epoch)
        ids = row["input_ids"].tolist()
        assert config.first_user_id + row["user"] not in ids, "a user is its own neighbour"
        assert config.first_user_id + row["user"] not in row["audience_ids"], "a user is in its item's audience"
        seen_1 = entity_tokens(config, ids[: ids.index(special["USER_1"])])
        seen_2 = entity_tokens(config, ids[: ids.index(special["USER_2"])]) if special["USER_2"] in ids else set()
        item, audience = entity_tokens(config, row["item_ids"]), entity_tokens(config, row["audience_ids"])
        if row["has_pair"]:
            assert not seen_1 & item, "the target is in the history"
            assert not seen_2 & audience, "hop 2 and the item's audience share a user"
            assert not entity_tokens(config, row["own_ids"]) & (item | seen_2)
        for pair in row["earlier_pairs"]:
            assert entity_tokens(config, pair["item_ids"]) == {config.first_item_id + pair["item"]}
            assert pair["item"] not in pair["user_items"], "its user is known by an earlier item"


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from(["uniform", "most_shared"]), st.booleans())
def test_no_example_knows_its_own_edge(seed, order, repeats):
    split, graph = shop(seed, repeats=repeats)
    options = {"neighbor_order": order, "item_dropout": 0.2, "latest_share": 0.3, "seed": seed}
    options["edges_per_user"] = 1 + seed % 4
    slots = range(0, len(examples(split, graph)), 3)
    check_edge_free(split, graph, slots, epoch=seed % 5, **options)
    check_pairs_are_disjoint(examples(split, graph, **options), slots, epoch=seed % 5)


def test_a_hop_that_walks_over_the_edge_is_found(monkeypatch):
    """Hop 2 from all of the user's items instead of those before the target."""
    split, graph = shop(0)

    def leaky(graph, history, count, rng, *, user=-1, order="uniform"):
        items = graph.user_items.of(user)
        return neighborhood.neighbor_users(graph, items, count, rng, user=user, order=order)

    monkeypatch.setattr(rows, "neighbor_users", leaky)
    with pytest.raises(AssertionError, match="knows its own edge"):
        check_edge_free(split, graph, range(20))


def test_a_user_among_its_own_neighbours_is_found(monkeypatch):
    split, graph = shop(0)

    def leaky(graph, history, count, rng, *, user=-1, order="uniform"):
        return neighborhood.neighbor_users(graph, history, count, rng, user=-1, order="most_shared")

    monkeypatch.setattr(rows, "neighbor_users", leaky)
    with pytest.raises(AssertionError, match="its own neighbour"):
        check_pairs_are_disjoint(examples(split, graph), range(20))


def test_a_shared_token_in_a_pair_is_found(monkeypatch):
    split, graph = shop(0)

    def leaky(graph, item, count, rng, *, without):
        return neighborhood.item_audience(graph, item, 20, rng, without=without[-1:])

    monkeypatch.setattr(rows, "item_audience", leaky)
    with pytest.raises(AssertionError, match="share a user"):
        check_pairs_are_disjoint(examples(split, graph), range(20))


def test_a_user_known_by_the_item_of_an_earlier_pair_is_found(monkeypatch):
    split, graph = shop(0)
    honest = GALRecDataset._earlier_pairs

    def leaky(self, user, history, known_items, rng):
        return [{**pair, "user_items": history} for pair in honest(self, user, history, known_items, rng)]

    monkeypatch.setattr(GALRecDataset, "_earlier_pairs", leaky)
    with pytest.raises(AssertionError, match="known by an earlier item"):
        check_pairs_are_disjoint(examples(split, graph, edges_per_user=3), range(20))


def test_earlier_pairs_are_edges_of_the_history():
    split, graph = shop(3, repeats=True)
    one, three, every = (examples(split, graph, edges_per_user=count, item_dropout=0.2) for count in (1, 3, 99))
    for slot in range(len(one)):
        plain, row, whole = (rows.build(slot, 2) for rows in (one, three, every))
        assert not plain["earlier_pairs"] and len(row["earlier_pairs"]) <= 2
        assert same(plain, row), "the other draws of a row depend on how many edges there are"
        history = row["user_items"].tolist()
        first_times = [place for place in range(1, len(history)) if history[place] not in history[:place]]
        assert [pair["item"] for pair in whole["earlier_pairs"]] == [history[place] for place in first_times]
        assert [pair["user_items"].tolist() for pair in whole["earlier_pairs"]] == [history[:p] for p in first_times]
        assert len(row["earlier_pairs"]) == min(2, len(first_times))
    drawn = [[pair["item"] for pair in three.build(0, epoch)["earlier_pairs"]] for epoch in range(6)]
    assert len({tuple(items) for items in drawn}) > 1, "every epoch has the same edges"


def test_a_target_that_the_history_has_makes_no_pair():
    split, graph = shop(3, repeats=True)
    rows = examples(split, graph, latest_share=0.0)
    found = [rows.build(slot, epoch) for slot in range(len(rows)) for epoch in range(4)]
    repeated = [row for row in found if row["item"] in row["user_items"]]
    assert repeated and not any(row["has_pair"] for row in repeated)
    assert all(row["has_pair"] for row in found if row["item"] not in row["user_items"])


def test_rows_depend_on_seed_epoch_and_user_alone():
    split, graph = shop(1)
    options = {"item_dropout": 0.2, "neighbor_dropout": 0.3}
    one, two = examples(split, graph, seed=4, **options), examples(split, graph, seed=4, **options)
    order = list(range(len(one)))
    forward = {slot: one.build(slot, 2) for slot in order}
    assert all(same(forward[slot], two.build(slot, 2)) for slot in reversed(order))
    assert not all(same(forward[slot], two.build(slot, 3)) for slot in order)
    assert not all(same(forward[slot], examples(split, graph, seed=5, **options).build(slot, 2)) for slot in order)


def test_labels_are_the_items_that_follow():
    split, graph = shop(2)
    rows = examples(split, graph, latest_share=1.0)
    config = rows.layout.config
    for slot in range(len(rows)):
        row = rows.build(slot, 0)
        sequence = split.train_sequence(row["user"])
        assert row["item"] == sequence[-1] and np.array_equal(row["user_items"], sequence[:-1])
        ids, labels = row["input_ids"], row["labels"]
        history = slice(0, len(sequence) - 1)
        assert np.array_equal(ids[history] - config.first_item_id, sequence[:-1])
        assert np.array_equal(labels[history], sequence[1:])
        assert ids[-1] == config.special_token_ids["REC"] and labels[-1] == sequence[-1]
        assert (np.delete(labels, [*range(len(sequence) - 1), len(labels) - 1]) == -100).all()
        assert set(sequence) <= set(row["known_items"]) and row["user"] in row["known_users"]


def test_every_item_but_the_first_becomes_a_target():
    split, graph = shop(2)
    rows = examples(split, graph, latest_share=0.0)
    targets = {(row["user"], row["item"]) for e in range(40) for s in range(len(rows)) if (row := rows.build(s, e))}
    expected = {(user, int(item)) for user in range(graph.num_users) for item in split.train_sequence(user)[1:]}
    assert targets == expected


def test_long_histories_become_windows():
    split, graph = shop(2)
    rows = examples(split, graph, max_history=3)
    assert len(rows) > graph.num_users
    for slot in range(len(rows)):
        row = rows.build(slot, 1)
        assert 1 <= len(row["user_items"]) <= 3


def test_hops_neighbours_and_dropout():
    split, graph = shop(5)
    config = GALRecConfig(num_items=graph.num_items)

    def users_of(row):
        return {int(token) - config.first_user_id for token in row["input_ids"] if token >= config.first_user_id}

    for row in (examples(split, graph, hops=2).build(slot, 0) for slot in range(10)):
        sharing = {int(v) for item in row["user_items"] for v in graph.item_users.of(item)} - {row["user"]}
        assert users_of(row) and users_of(row) <= sharing
    assert not any(users_of(examples(split, graph, hops=1).build(slot, 0)) for slot in range(10))
    assert not any(users_of(examples(split, graph, neighbor_dropout=1.0).build(slot, 0)) for slot in range(10))


def test_most_shared_counts():
    graph = InteractionGraph.from_arrays(
        np.array([0, 0, 0, 1, 1, 2, 2, 2, 3]), np.array([0, 1, 2, 0, 1, 0, 1, 2, 3]), 4, 4
    )
    rng = np.random.default_rng(0)
    found = neighborhood.neighbor_users(graph, np.array([0, 1, 2]), 5, rng, user=0, order="most_shared")
    assert found.tolist() == [2, 1]
    assert neighborhood.neighbor_users(graph, np.array([], dtype=int), 5, rng).tolist() == []
    items = neighborhood.neighbor_items(graph, np.array([2]), np.array([0]), 5, rng)
    assert sorted(items.tolist()) == [1, 2]
    assert neighborhood.item_audience(graph, 0, 5, rng, without=np.array([1])).tolist() in ([0, 2], [2, 0])


def test_serving_reads_the_history_alone_and_answers_the_same_twice():
    split, graph = shop(5)
    layout = examples(split, graph, hops=2).layout
    history = split.train_sequence(3)
    alone, items = served_sequence(layout, history, None)
    assert np.array_equal(items, history) and (alone < layout.config.first_user_id).all()
    first, second = (served_sequence(layout, history, graph, user=3)[0] for _ in range(2))
    assert np.array_equal(first, second) and layout.config.first_user_id + 3 not in first
    cases = GALRecEvalDataset(split.validation, graph, layout)
    assert len(cases) == len(split.validation)
    row = cases.build(2, 0)
    assert (row["labels"] != -100).sum() == 1 and row["labels"][-1] == split.validation.targets[2]


def test_shares_are_probabilities():
    split, graph = shop(0)
    for name in ("latest_share", "item_dropout", "neighbor_dropout"):
        with pytest.raises(ValueError, match=name):
            examples(split, graph, **{name: 1.5})


def test_rows_are_as_long_as_they_have_targets_whatever_else_they_read():
    split, graph = shop(4)
    rows = examples(split, graph, latest_share=1.0)
    labelled = [int((rows.build(slot, 0)["labels"] != -100).sum()) for slot in range(len(rows))]
    # The last item is the target of the history's last item and of [REC].
    assert [count - 1 for count in labelled] == rows.lengths(0).tolist()
