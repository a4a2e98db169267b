"""LC-Rec's memory: co-occurrences that enter the search, saved with the model, weighed on validation users."""

import json
from dataclasses import replace

import numpy as np
import pytest
from transformers import pipeline

from hf_llmrec.data.co_occurrence import CO_OCCURRENCE_FILE, CoOccurrence
from hf_llmrec.data.item_activity import DAY, HOUR, ItemActivity
from hf_llmrec.data.item_index import ItemIndex
from hf_llmrec.data.time_features import TimeFeatures
from hf_llmrec.evaluation.metrics import ndcg_at, target_ranks
from hf_llmrec.hub.published_files import recommender_files
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.item_knn.recommender import ItemKNNRecommender
from hf_llmrec.methods.lcrec.catalog_edits import save_with_index
from hf_llmrec.methods.lcrec.memory import LCRecMemory, MemoryTerm
from hf_llmrec.methods.lcrec.memory_fit import fit_memory
from hf_llmrec.methods.lcrec.prompt import LCRecPrompt
from hf_llmrec.methods.lcrec.recommender import LCRecRecommender
from hf_llmrec.methods.lcrec.repeat_bias import fit_repeat_bias
from hf_llmrec.methods.lcrec.trainer import LCRecTrainer
from hf_llmrec.methods.lcrec.trainer_config import LCRecTrainingConfig


@pytest.fixture
def recommender(model, tokenizer):
    return LCRecRecommender(model.eval(), tokenizer, LCRecPrompt(max_history=4))


@pytest.fixture
def memory(dataset):
    split, size = dataset.split(), dataset.num_items
    terms = MemoryTerm("co_occurrence", 0.7, 0.05, 2.0), MemoryTerm("transitions", 0.0, 0.1, -0.5)
    return LCRecMemory(CoOccurrence.from_split(split, size), CoOccurrence.from_transitions(split, size), terms, -1.5)


HISTORIES = [np.array([2, 7, 9]), np.array([], dtype=np.int64), np.array([5, 5])]
READ = [np.array([2, 7, 9]), np.array([], dtype=np.int64), np.array([5])]


def test_similarities_are_those_of_item_knn(dataset, memory):
    knn = ItemKNNRecommender.fit(dataset, dataset.split(), decay=0.7)
    every = [np.arange(dataset.num_items)] * 3
    ranked = np.stack(knn.score(HISTORIES, every)) - knn.model.popularity.numpy()
    np.testing.assert_allclose(memory.co_occurrence.scores(HISTORIES, 0.7).toarray(), ranked, atol=2e-6)


@pytest.mark.parametrize("least", [1, 2])
def test_transitions_are_those_of_a_loop(dataset, least):
    split = dataset.split()
    table = CoOccurrence.from_transitions(split, dataset.num_items, window=2, num_neighbors=5, min_users=least)
    sums, people = np.zeros((2, dataset.num_items, dataset.num_items))
    for user in range(dataset.num_users):
        items, seen = split.train_sequence(user).tolist(), set()
        for place, first in enumerate(items):
            for step in (1, 2):
                if place + step < len(items):
                    sums[first, items[place + step]] += 1 / step
                    seen.add((first, items[place + step]))
        for pair in seen:
            people[pair] += 1
    expected = sums / np.maximum(sums.sum(1, keepdims=True), 1e-9)
    expected[people < least] = 0
    np.fill_diagonal(expected, 0)
    after = table.scores([np.array([item]) for item in range(dataset.num_items)], 1.0).toarray()
    for item in range(dataset.num_items):
        best = np.argsort(-expected[item], kind="stable")[:5]
        np.testing.assert_allclose(after[item, best], expected[item, best], rtol=1e-6)
        assert (after[item] > 0).sum() == min((expected[item] > 0).sum(), 5)
    # A ring: after each item comes the next one, and not the one before it.
    assert expected[3, 4] > 0 and (expected[4, 3] == 0 or expected[4, 3] < expected[3, 4])


def test_the_bonus_is_a_sum_of_logarithms_and_leaves_the_history_out(memory):
    bonus, similar = memory.bonus(HISTORIES, READ).toarray(), memory.co_occurrence.scores(HISTORIES, 0.7).toarray()
    following = memory.transitions.scores([history[-1:] for history in HISTORIES], 1.0).toarray()
    expected = 2.0 * np.log1p(similar / 0.05) - 0.5 * np.log1p(following / 0.1)
    assert expected[0, HISTORIES[0]].any()  # they occur together
    for row, history in enumerate(HISTORIES):
        expected[row, history] = -1.5
    np.testing.assert_allclose(bonus, expected, rtol=1e-5)
    assert not bonus[1].any() and bonus[2].any()
    assert not replace(memory, repeat_bias=0.0).bonus(HISTORIES, READ)[:, [2, 5]].toarray().diagonal().any()
    assert replace(memory, terms=(), repeat_bias=0.0).bonus(HISTORIES, READ).nnz == 0


def test_pairs_of_few_users_are_left_out(dataset):
    split = dataset.split()
    common = np.zeros((dataset.num_items,) * 2)
    for user in range(len(dataset.user_ids)):
        items = np.unique(split.train_sequence(user))
        common[np.ix_(items, items)] += 1
    for least in (1, 2, 3):
        kept = CoOccurrence.from_split(split, dataset.num_items, min_users=least)
        pairs = {(i, j) for i, row in enumerate(kept.neighbors) for j in row if j < dataset.num_items}
        assert pairs == {(i, j) for i, j in np.argwhere(common >= least) if i != j}


def test_it_is_added_to_rankings_and_scores(recommender, memory, dataset):
    every = [np.arange(dataset.num_items)] * 3
    plain = np.stack(recommender.score(HISTORIES, every))
    recommender.memory = memory
    expected = plain + memory.bonus(HISTORIES, READ).toarray()
    np.testing.assert_allclose(np.stack(recommender.score(HISTORIES, every)), expected, atol=1e-4)
    for extra in (None, np.linspace(0, 1, dataset.num_items)):
        wanted = expected if extra is None else expected + extra
        rows, scores = recommender.rank(HISTORIES, dataset.num_items, item_bonus=extra)
        np.testing.assert_allclose(scores, np.take_along_axis(wanted, rows, 1), atol=1e-4)
        assert (np.diff(scores, axis=1) <= 0).all()
    # A wish in words is not answered from what others bought together.
    query = recommender.rank_queries(HISTORIES[:1], ["something"], 5)
    recommender.memory = None
    assert query[0].tolist() == recommender.rank_queries(HISTORIES[:1], ["something"], 5)[0].tolist()


def test_it_is_saved_published_and_left_out_on_request(recommender, memory, dataset, tmp_path):
    recommender.memory = memory
    recommender.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "recommender.json").read_text())["memory"] == {
        "terms": [
            {"table": "co_occurrence", "decay": 0.7, "scale": 0.05, "weight": 2.0},
            {"table": "transitions", "decay": 0.0, "scale": 0.1, "weight": -0.5},
        ],
        "repeat_bias": -1.5,
    }
    assert CO_OCCURRENCE_FILE in recommender_files(tmp_path)
    loaded = AutoRecommender.from_pretrained(tmp_path)
    assert loaded.rank(HISTORIES, 5)[0].tolist() == recommender.rank(HISTORIES, 5)[0].tolist()
    ids = [dataset.item_ids[row] for row in HISTORIES[0]]
    asked = pipeline("recommendation", model=str(tmp_path))({"history": ids}, top_k=5)
    assert asked == loaded.recommend([{"history": ids}], top_k=5)[0]
    without = AutoRecommender.from_pretrained(tmp_path, memory=False)
    recommender.memory = None
    assert without.memory is None
    assert without.rank(HISTORIES, 5)[0].tolist() == recommender.rank(HISTORIES, 5)[0].tolist()
    recommender.save_pretrained(tmp_path)
    assert not (tmp_path / CO_OCCURRENCE_FILE).exists()  # the earlier recommender's


def test_what_is_reported_is_what_the_ranking_gives(recommender, dataset):
    """NDCG over the candidates is that of a search with all beams, with the memory and without."""
    split = dataset.split()
    cases = split.validation.sample(25)
    report = fit_memory(recommender, split, cases)
    memory = recommender.memory
    assert memory is not None and report["ndcg@10"] > 2 * report["without"]  # a ring, on which transitions tell all
    # Both biases: one to rank without memory, and what the memory adds to it.
    assert recommender.repeat_bias == report["repeat_bias_without"] != report["repeat_bias"]
    assert recommender.repeat_bias + memory.repeat_bias == pytest.approx(report["repeat_bias"])
    recommender.num_beams = dataset.num_items
    histories = [cases.histories[number] for number in range(len(cases))]
    for chosen, name in ((memory, "ndcg@10"), (None, "without")):
        recommender.memory = chosen
        rows, _ = recommender.rank(histories, 10)
        assert ndcg_at(target_ranks(rows, cases.targets), 10) == pytest.approx(report[name], abs=1e-9)


def test_a_memory_that_does_not_help_is_left_out(recommender, dataset, monkeypatch):
    split = dataset.split()
    # Nothing is close to anything: all terms are next to 0.
    useless = (MemoryTerm("co_occurrence", 1.0, 1e12, 0.0),)
    monkeypatch.setattr("hf_llmrec.methods.lcrec.memory_fit.TERMS", useless)
    recommender.repeat_bias = 0.25
    report = fit_memory(recommender, split, split.validation.sample(15), learn_repeat_bias=False)
    assert recommender.memory is None and recommender.repeat_bias == 0.25
    assert report["repeat_bias"] == report["repeat_bias_without"] == 0.25


@pytest.mark.parametrize("options, has_memory", [({}, True), ({"memory": False}, False)])
def test_training_adds_it(model, tokenizer, dataset, tmp_path, options, has_memory):
    made = LCRecRecommender(model, tokenizer, LCRecPrompt())
    values = {"use_cpu": True, "report_to": "none", "save_strategy": "no", "max_steps": 2, "disable_tqdm": True}
    args = LCRecTrainingConfig(str(tmp_path), eval_users=20, max_length=96, **values, **options)
    LCRecTrainer(made, args, split=dataset.split()).train()
    assert (made.memory is not None) is has_memory
    assert made.repeat_bias != 0


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"table": "purchases"}, r"table must be one of \['co_occurrence', 'transitions'\], got 'purchases'"),
        ({"scale": 0.0}, "scale must be positive"),
        ({"decay": 1.5}, r"decay in \[0, 1\]"),
    ],
)
def test_terms_out_of_range(wrong, message):
    with pytest.raises(ValueError, match=message):
        MemoryTerm(**{"table": "transitions", "decay": 0.5, "scale": 1.0, "weight": 1.0, **wrong})
    with pytest.raises(ValueError, match="memory_min_users must be at least 1, got 0"):
        LCRecTrainingConfig("out", memory_min_users=0)


def test_another_catalogue_moves_its_rows(recommender, memory, dataset, tmp_path):
    """Items that leave take their co-occurrences along, new ones have none, the others keep theirs."""
    recommender.memory = memory
    recommender.save_pretrained(tmp_path / "old")
    index = recommender.tokenizer.item_index
    gone, kept = dataset.item_ids[3], dataset.item_ids[9]
    free = next(
        codes for codes in np.ndindex(*index.codebook_sizes) if not (index.codes == np.array(codes)).all(1).any()
    )
    codes = np.concatenate([np.delete(index.codes, 3, axis=0), [free]])
    ids = [*(item for item in index.item_ids if item != gone), "new"]
    save_with_index(tmp_path / "old", tmp_path / "new", ItemIndex(ids, codes, index.codebook_sizes), {"new": "New"})
    changed = AutoRecommender.from_pretrained(tmp_path / "new").memory.co_occurrence
    before = memory.co_occurrence

    def pairs(counted, names, item):
        row = names.index(item)
        return {
            names[other]: value
            for other, value in zip(counted.neighbors[row], counted.similarities[row], strict=True)
            if other < len(names)
        }

    expected = pairs(before, dataset.item_ids, kept)
    assert gone in expected or len(expected) > 1
    assert pairs(changed, ids, kept) == {item: value for item, value in expected.items() if item != gone}
    assert pairs(changed, ids, "new") == {} and not changed.similarities[-1].any()
    with pytest.raises(ValueError, match="the memory is of 23 items, the catalogue has 24"):
        fewer = memory.take(np.arange(23))
        LCRecRecommender(recommender.model, recommender.tokenizer, LCRecPrompt(), memory=fewer)


def test_nobody_asks(recommender, memory):
    recommender.memory = memory
    assert recommender.rank([], 3)[0].shape == (0, 3) and recommender.score([], []) == []


def test_the_bias_without_memory_is_that_of_the_model(recommender, dataset):
    """Fitted beside a memory, over candidates, or by itself: the same number."""
    split = dataset.split()
    cases = split.validation.sample(25)
    beside = fit_memory(recommender, split, cases)["repeat_bias_without"]
    assert recommender.memory is not None and recommender.repeat_bias == beside
    assert fit_repeat_bias(recommender, cases) == pytest.approx(beside, abs=1e-4)


def test_time_features_are_added_during_the_search(recommender, memory, dataset):
    """With all beams, the ranking is that of the scores plus memory plus the bonus of the time, item by item."""
    rng = np.random.default_rng(0)
    now, num_items = 1_700_000_000, dataset.num_items
    hours = np.sort(now // HOUR - rng.integers(1, 24 * 200, 300)).astype(np.int32)
    activity = ItemActivity(rng.integers(0, num_items, 300).astype(np.int32), hours, num_items)
    features = TimeFeatures(activity, rng.normal(size=5) * 3, rng.normal(size=5), 0.7, 0.2, 1.0, 2.0)
    times = np.array([[now, now - 5 * DAY], [now - 30 * DAY, -1]])
    histories, items = HISTORIES[:2], [np.arange(num_items)] * 2
    recommender.num_beams = num_items
    for added in (None, memory):
        recommender.memory = added
        recommender.time_features = None
        plain = np.stack(recommender.score(histories, items))
        recommender.time_features = features
        expected = plain + features.bonus(times).toarray()
        np.testing.assert_allclose(np.stack(recommender.score(histories, items, times=times)), expected, atol=1e-4)
        rows, scores = recommender.rank(histories, num_items, times=times)
        np.testing.assert_allclose(np.take_along_axis(expected, rows, axis=1), scores, atol=1e-4)
        assert (np.diff(scores, axis=1) <= 1e-5).all()
        bonus = rng.normal(size=num_items)
        _, together = recommender.rank(histories, 1, times=times, item_bonus=bonus)
        np.testing.assert_allclose(together[:, 0], (expected + bonus).max(axis=1), atol=1e-4)
        assert np.array_equal(np.stack(recommender.score(histories, items)), plain)  # without times nothing is added
