"""Cases divided by whether the step to the target was seen in training."""

import numpy as np
import pytest

from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.evaluation.compare import best_by_group, case_groups, compare_results
from hf_llmrec.evaluation.evaluator import EvaluationResult
from hf_llmrec.evaluation.transitions import NOTES, transition_groups


@pytest.fixture
def shop():
    """Letters are items. The last two interactions of a user are held out; who has fewer than three only trains."""
    paths = {
        "first": "abcde",  # trains on a, b, c: steps a-b, b-c; target of the test: d to e
        "repeat": "xabxb",  # trains on x-a, a-b; validation x, test b, which is in the history
        "known": "yzyab",  # trains on y-z, z-y; validation a, test: a to b is known
        "two": "yyyac",  # test: a to c by way of b
        "across": "dd",  # the end of one user and the beginning of the next are no step
        "next": "ed",
    }
    rows = [(user, item, place) for user, path in paths.items() for place, item in enumerate(path)]
    columns = dict(zip(("user_id", "item_id", "position"), map(list, zip(*rows, strict=True)), strict=True))
    letters = sorted(set("".join(paths.values())))
    return RecDataset.from_datasets(columns, {"item_id": letters, "title": letters})


@pytest.fixture
def sparse():
    """Random users among many items, so that there are cases of each group."""
    rng = np.random.default_rng(0)
    rows = [(user, item, place) for user in range(60) for place, item in enumerate(rng.integers(0, 40, 8))]
    users, items, places = zip(*rows, strict=True)
    columns = {"user_id": list(map(str, users)), "item_id": list(map(str, items)), "position": list(places)}
    ids = list(map(str, range(40)))
    return RecDataset.from_datasets(columns, {"item_id": ids, "title": ids})


def test_every_case_is_in_one_group(shop):
    split = shop.split()
    groups = transition_groups(split, split.test, shop.num_items)
    assert list(groups) == list(NOTES) and (sum(mask.astype(int) for mask in groups.values()) == 1).all()
    names = [shop.user_ids[row] for row in split.test.user_rows]
    group_of = {name: next(group for group in groups if groups[group][n]) for n, name in enumerate(names)}
    assert group_of == {
        "first": "unseen transition",
        "repeat": "repeat",
        "known": "seen transition",
        "two": "two-hop transition",
    }


def test_it_is_what_a_loop_over_training_says(sparse):
    dataset = sparse
    split = dataset.split()
    cases = split.test
    steps, ways = set(), set()
    for user in range(len(dataset.user_ids)):
        sequence = split.train_sequence(user).tolist()
        steps |= set(zip(sequence, sequence[1:], strict=False))
    ways = {(a, d) for a, b in steps for c, d in steps if b == c}
    groups = transition_groups(split, cases, dataset.num_items)
    for number in range(len(cases)):
        history, target = cases.histories[number].tolist(), int(cases.targets[number])
        pair = (history[-1], target)
        expected = (
            "repeat"
            if target in history
            else "seen transition"
            if pair in steps
            else "two-hop transition"
            if pair in ways
            else "unseen transition"
        )
        assert groups[expected][number]
    assert all(groups[name].any() for name in groups)


def test_which_model_is_better_where(sparse):
    dataset = sparse
    split = dataset.split()
    groups = case_groups(dataset, split, split.test)
    known = groups.masks["seen transition"]
    rng = np.random.default_rng(0)

    def result(ranks):
        return EvaluationResult({"ndcg@10": 0.0}, ranks, np.zeros((len(ranks), 10), dtype=np.int64), 1.0)

    remembers = np.where(known, 0, -1)
    generalises = np.where(known, -1, rng.integers(0, 5, len(known)))
    models = {"remembers": result(remembers), "generalises": result(generalises), "nothing": result(remembers * 0 - 1)}
    compared = compare_results(models, groups, samples=500)
    said = best_by_group(compared)
    assert "seen transition: remembers is best (1.0000), better than generalises and nothing." in said
    assert any(line.startswith("unseen transition: generalises is best") for line in said)
    against = compared["generalises"]["groups"]["seen transition"]["against"]
    assert against["remembers"] == {"difference": -1.0, "low": -1.0, "high": -1.0, "verdict": "worse"}
    assert against["nothing"]["verdict"] == "unclear"
    assert best_by_group({"nothing": compared["nothing"]}) == []
    both = best_by_group(compare_results({"a": models["nothing"], "b": models["nothing"]}, groups, samples=10))
    assert both and all(line.endswith("no model finds any.") for line in both)
