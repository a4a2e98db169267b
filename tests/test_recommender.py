"""What every recommender can do, whatever its method."""

import json

import numpy as np
import pytest
from transformers import pipeline

from hf_llmrec.data.graph import InteractionGraph
from hf_llmrec.data.recommender_folder import load_settings
from hf_llmrec.methods.auto import RECOMMENDERS, AutoRecommender
from hf_llmrec.methods.popularity.recommender import PopularityRecommender
from hf_llmrec.recommender import Recommender

METHODS = sorted(RECOMMENDERS)


@pytest.fixture
def recommender(recommender_folders, request) -> Recommender:
    return AutoRecommender.from_pretrained(recommender_folders[request.param])


@pytest.fixture
def histories(dataset):
    split = dataset.split()
    return [split.test.histories[case][: case % 8] for case in range(20)]


def of_every_method(test):
    return pytest.mark.parametrize("recommender", METHODS, indirect=True)(test)


@of_every_method
def test_it_answers_as_the_pipeline_does(recommender, recommender_folders):
    requests = [
        {"history": ["i3", "i4"]},
        {"history": ["i5"], "exclude": ["i6", "i7"]},
        {"history": [], "allowed": ["i1", "i2"]},
    ]
    answers = recommender.recommend(requests, 5, exclude=["i0"])
    asked = pipeline("recommendation", model=str(recommender_folders[recommender.method]))
    assert answers == asked(requests, top_k=5, exclude=["i0"])
    ids = [[each["item_id"] for each in answer] for answer in answers]
    assert [len(answer) for answer in ids] == [5, 5, 2] and not {"i0", "i6", "i7"} & set(ids[1])
    assert sorted(ids[2]) == ["i1", "i2"]
    assert all(
        each["title"] == recommender.catalog.titles[recommender.item_ids.index(each["item_id"])] for each in answers[0]
    )


@of_every_method
def test_a_wish_is_answered_or_refused(recommender):
    request = {"history": ["i3"], "query": "something red"}
    if recommender.supports_query:
        assert len(recommender.recommend([request], 3)[0]) == 3
    else:
        with pytest.raises(ValueError, match="reads histories only"):
            recommender.recommend([request])
        with pytest.raises(ValueError, match="reads histories only"):
            recommender.rank_queries([np.array([3])], ["something red"], 3)


@of_every_method
def test_scores_of_candidates_are_those_of_the_ranking(recommender, histories):
    rows, values = recommender.rank(histories, 6)
    assert (rows >= 0).all()
    candidates = [np.concatenate([row[::-1], row[:1]])[: 1 + number % 7] for number, row in enumerate(rows)]
    scores = recommender.score(histories, candidates)
    assert [len(each) for each in scores] == [len(each) for each in candidates]
    for row, value, items, score in zip(rows, values, candidates, scores, strict=True):
        expected = dict(zip(row.tolist(), value.tolist(), strict=True))
        np.testing.assert_allclose(score, [expected[item] for item in items], rtol=1e-4, atol=1e-5)
    assert [len(each) for each in recommender.score(histories[:2], [np.array([], dtype=int), [3]])] == [0, 1]


@of_every_method
def test_a_bonus_is_added_to_items_before_the_best_are_chosen(recommender, histories):
    """All beams make LC-Rec's search exhaustive, too: the ranking is that of score plus bonus."""
    assert recommender.supports_item_bonus
    count, items = len(histories), len(recommender.item_ids)
    every = [np.arange(items)] * count
    scores = np.stack(recommender.score(histories, every))
    bonus = np.random.default_rng(0).normal(size=(count, items)) * scores.std()
    rows, values = recommender.rank(histories, items, item_bonus=bonus)
    np.testing.assert_allclose(values, np.take_along_axis(scores + bonus, rows, 1), rtol=1e-4, atol=1e-4)
    assert (np.sort(rows, 1) == np.arange(items)).all() and (np.diff(values, axis=1) <= 0).all()
    # One row of bonuses is that of all histories; excluded items stay excluded, whatever their bonus.
    favourite = np.zeros(items)
    favourite[[5, 7]] = 20 * np.abs(scores).max(), 10 * np.abs(scores).max()
    rows, _ = recommender.rank(histories, 3, item_bonus=favourite)
    assert (rows[:, :2] == [5, 7]).all()
    rows, _ = recommender.rank(histories, 3, item_bonus=favourite, exclude=[np.array([5])] * count)
    assert (rows[:, 0] == 7).all() and not (rows == 5).any()
    rows, _ = recommender.rank(histories, 3, item_bonus=favourite, allowed=np.array([2, 7]))
    assert (rows[:, 0] == 7).all() and (rows[:, 1] == 2).all() and (rows[:, 2] == -1).all()


@of_every_method
def test_a_bonus_that_does_not_fit_is_refused(recommender):
    items = len(recommender.item_ids)
    for wrong in (np.zeros(items - 1), np.zeros((3, items)), np.zeros(items, dtype=int)):
        with pytest.raises(ValueError, match=r"item_bonus must be float \(24,\) or \(2, 24\), got"):
            recommender.rank([np.array([1]), np.array([2])], 3, item_bonus=wrong)
    with pytest.raises(ValueError, match="item_bonus has values that are not finite; use exclude"):
        recommender.rank([np.array([1])], 3, item_bonus=np.where(np.arange(items) == 3, -np.inf, 0.0))


@of_every_method
def test_candidates_that_do_not_fit_are_refused(recommender):
    with pytest.raises(ValueError, match="1 lists of candidates for 2 histories"):
        recommender.score([[1], [2]], [[1]])
    with pytest.raises(ValueError, match="candidates 1: item rows must lie in 0 to 23"):
        recommender.score([[1], [2]], [[1], [24]])


@of_every_method
def test_similar_items(recommender):
    if not recommender.supports_similar_items:
        with pytest.raises(ValueError, match="popularity knows nothing of single items"):
            recommender.similar_items(["i3"])
        return
    answers = recommender.similar_items(["i3", "i9"], 4)
    ids = [[each["item_id"] for each in answer] for answer in answers]
    assert len(ids[0]) == 4 and "i3" not in ids[0] and "i9" not in ids[1]
    for answer in answers:
        scores = [each["score"] for each in answer]
        assert scores == sorted(scores, reverse=True) and max(scores) <= 1 + 1e-6
    if recommender.method == "knn":  # items that follow each other on the ring are bought together
        assert {"i2", "i4"} <= set(ids[0])
    else:
        vectors = recommender.item_vectors()
        norms = np.linalg.norm(vectors, axis=1)
        cosine = vectors @ vectors[3] / (norms * norms[3])
        cosine[3] = -np.inf
        assert ids[0] == [recommender.item_ids[row] for row in np.argsort(-cosine, kind="stable")[:4]]
    with pytest.raises(ValueError, match="1 of 1 items in 'item_ids' are not in the catalogue"):
        recommender.similar_items(["nothing"])


@of_every_method
def test_what_is_saved_is_the_same_again(recommender, histories, dataset, tmp_path):
    recommender.trained_on(dataset, dataset.split())
    recommender.save_pretrained(tmp_path / "again")
    again = AutoRecommender.from_pretrained(tmp_path / "again")
    assert type(again) is type(recommender) and again.catalog == recommender.catalog
    assert again.settings() == json.loads(json.dumps(recommender.settings()))
    assert again.training_data == load_settings(tmp_path / "again")["data"] == recommender.training_data
    assert again.dataset_name == dataset.name
    for one, other in zip(again.rank(histories, 5), recommender.rank(histories, 5), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    state = again.model.state_dict()
    assert state.keys() == recommender.model.state_dict().keys()
    assert not list((tmp_path / "again").glob(".*"))


@of_every_method
def test_it_evaluates_itself(recommender, dataset):
    cases = dataset.split().test
    result = recommender.evaluate(cases)
    assert result["num_users"] == len(cases) == len(result.ranks) and 0 <= result["ndcg@10"] <= result["hit_rate@10"]
    assert dict(result) == result.metrics and str(result) == str(result.metrics)
    found = np.mean((result.ranks >= 0) & (result.ranks < 10))
    assert result["hit_rate@10"] == pytest.approx(found)


def test_cases_of_another_catalogue_are_refused(recommender_folders, dataset):
    recommender = AutoRecommender.from_pretrained(recommender_folders["sasrec"])
    recommender.item_ids[0] = "other"
    with pytest.raises(ValueError, match="does not match the dataset's"):
        recommender.evaluate(dataset.split().test)


def test_a_folder_of_another_method_is_refused(recommender_folders):
    with pytest.raises(ValueError, match="a recommender of 'knn', not of 'popularity'"):
        PopularityRecommender.from_pretrained(recommender_folders["knn"])


def test_a_graph_that_was_detached_is_not_looked_for_again(recommender_folders, dataset, tmp_path):
    recommender = AutoRecommender.from_pretrained(recommender_folders["galrec"])
    recommender.include_graph = True
    recommender.attach_graph(InteractionGraph.from_split(dataset.split(), dataset.num_items))
    recommender.save_pretrained(tmp_path)
    recommender = AutoRecommender.from_pretrained(tmp_path)
    assert recommender.graph is not None
    recommender.detach_graph()
    recommender.save_pretrained(tmp_path)
    assert AutoRecommender.from_pretrained(tmp_path).graph is None


def test_a_method_from_elsewhere(recommender_folders, tmp_path, monkeypatch):
    """Its folders are opened by the class that was registered for them."""
    monkeypatch.setattr("hf_llmrec.methods.auto.RECOMMENDERS", dict(RECOMMENDERS))
    known = AutoRecommender.from_pretrained(recommender_folders["popularity"])
    mine = type("Mine", (type(known),), {"method": "mine", "__module__": __name__})
    monkeypatch.setitem(globals(), "Mine", mine)
    mine(known.model, known.item_ids).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="unknown method 'mine'"):
        AutoRecommender.from_pretrained(tmp_path)
    AutoRecommender.register(mine)
    assert type(AutoRecommender.from_pretrained(tmp_path)) is mine
