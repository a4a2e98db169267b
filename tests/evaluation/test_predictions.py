"""Predictions made elsewhere: the same figures as the model that made them, and what is wrong with them is said."""

import json

import numpy as np
import pandas as pd
import pytest

from hf_llmrec.cli import compare, evaluate
from hf_llmrec.evaluation.evaluator import evaluate_ranker
from hf_llmrec.evaluation.predictions import PredictedRankings, is_predictions_file
from hf_llmrec.methods.popularity.recommender import PopularityRecommender


@pytest.fixture(scope="module")
def ranked(dataset):
    """(cases, popularity's evaluation, its rankings in ids by user)."""
    split = dataset.split()
    cases = split.test
    result = PopularityRecommender.fit(dataset, split).evaluate(cases)
    users = [dataset.user_ids[user] for user in cases.user_rows]
    lists = [[dataset.item_ids[item] for item in row] for row in result.item_rows]
    return cases, result, dict(zip(users, lists, strict=True))


def write(folder, form, rankings):
    """The rankings in one of the accepted forms; returns the file."""
    users, lists = list(rankings), list(rankings.values())
    wide = pd.DataFrame({"user_id": users, "item_ids": lists})
    long = wide.explode("item_ids").rename(columns={"item_ids": "item_id"}).reset_index(drop=True)
    places = np.concatenate([np.arange(1, len(items) + 1) for items in lists])
    mixed = np.random.default_rng(0).permutation(len(long))
    if form == "lists.parquet":
        wide.to_parquet(folder / form)
    elif form == "json.csv":
        wide.assign(item_ids=[json.dumps(items) for items in lists]).to_csv(folder / form, index=False)
    elif form == "spaces.tsv.gz":
        wide.assign(item_ids=[" ".join(items) for items in lists]).to_csv(folder / form, sep="\t", index=False)
    elif form == "rows.csv":
        long.to_csv(folder / form, index=False)
    elif form == "ranks.parquet":
        long.assign(rank=places, score=1.0).iloc[mixed].to_parquet(folder / form)
    else:
        long.assign(score=1.0 / places).iloc[mixed].to_csv(folder / form, index=False)
    return folder / form


FORMS = ["lists.parquet", "json.csv", "spaces.tsv.gz", "rows.csv", "ranks.parquet", "scores.csv"]


@pytest.mark.parametrize("form", FORMS)
def test_the_same_figures_as_the_model(dataset, ranked, tmp_path, form):
    cases, expected, rankings = ranked
    file = write(tmp_path, form, rankings)
    assert is_predictions_file(file) and not is_predictions_file("me/model")
    found = PredictedRankings.from_file(file, dataset)
    result = evaluate_ranker(found, cases)
    np.testing.assert_array_equal(result.item_rows, expected.item_rows)
    assert result.metrics == expected.metrics and not any(found.notes.values()) and found.report() == []


def test_what_is_wrong_is_counted_and_named(dataset, ranked):
    cases, _, rankings = ranked
    users = list(rankings)
    given = {user: list(items) for user, items in rankings.items() if user != users[3]}
    given[users[0]] = ["unheard of", *given[users[0]][:4]]
    given[users[1]] = [given[users[1]][0], *given[users[1]]]
    found = PredictedRankings(given, dataset.item_ids, "F.csv")
    rows, scores = found.rank([np.array([0])] * len(users), 10, user_ids=users)
    assert found.notes == {"unknown_items": 1, "repeated_items": 1, "missing_users": 1, "short_lists": 1}
    assert (rows[3] == -1).all() and np.isneginf(scores[3]).all() and (rows[0][4:] == -1).all()
    assert [dataset.item_ids[row] for row in rows[1]] == rankings[users[1]]
    said = " ".join(found.report())
    missing = f"no ranking and count as misses (such as {users[3]!r})"
    assert all(part in said for part in ("F.csv: 1 ranked items are not in the catalogue", "'unheard of'", missing))
    with pytest.raises(ValueError, match="user_ids are needed"):
        found.rank([np.array([0])], 10)


def test_limits_of_a_request_hold(dataset):
    found = PredictedRankings({"u0": ["i1", "i2", "i3"]}, dataset.item_ids)
    rows, _ = found.rank([np.array([1])], 2, user_ids=["u0"], exclude=[np.array([1])], allowed=np.array([1, 3]))
    assert rows.tolist() == [[3, -1]]


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"user": ["u0"], "item_ids": ["i1"]}, "needs the columns user_id and item_ids"),
        ({"user_id": ["u0"], "items": ["i1"]}, "needs the columns user_id and item_ids"),
        ({"user_id": ["u0", "u0"], "item_ids": ["i1", "i2"]}, "row 1: user 'u0' occurs twice"),
        ({"user_id": ["u0"], "item_ids": ["[i1"]}, "row 0, column item_ids: not a JSON list"),
        ({"user_id": ["u0"], "item_id": ["i1"], "score": ["high"]}, "column score: not all are numbers"),
        ({"user_id": ["nobody"], "item_id": ["i1"]}, "no user of 'ring'.*'nobody'"),
        ({"user_id": ["u0"], "item_id": ["nothing"]}, "no item of 'ring'.*'nothing'"),
    ],
)
def test_bad_files(dataset, tmp_path, columns, message):
    pd.DataFrame(columns).to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(ValueError, match=message):
        PredictedRankings.from_file(tmp_path / "bad.csv", dataset)


def test_files_that_are_none(dataset, tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        PredictedRankings.from_file(tmp_path / "none.csv", dataset)
    (tmp_path / "text.parquet").write_text("user_id,item_id")
    with pytest.raises(ValueError, match="text.parquet: not a readable table"):
        PredictedRankings.from_file(tmp_path / "text.parquet", dataset)
    pd.DataFrame({"user_id": ["u0", None], "item_ids": [["i1"], ["i2"]]}).to_parquet(tmp_path / "null.parquet")
    with pytest.raises(ValueError, match="row 1: no user_id"):
        PredictedRankings.from_file(tmp_path / "null.parquet", dataset)


def test_the_commands_take_them(dataset, ranked, tmp_path, capsys):
    _, expected, rankings = ranked
    dataset.save(tmp_path / "data")
    file = write(tmp_path, "lists.parquet", dict(list(rankings.items())[:-1]))
    common = ["--dataset", str(tmp_path / "data"), "--output", str(tmp_path / "out")]
    assert evaluate.main(["--model", str(file), *common[:2], "--output", str(tmp_path / "f.json"), "--ks", "3"]) == 0
    report = json.loads((tmp_path / "f.json").read_text())
    assert report["predictions"]["missing_users"] == 1 and report["hit_rate@3"] <= report["hit_rate@5"]
    assert "1 users have no ranking and count as misses" in capsys.readouterr().out
    assert compare.main(["--models", "popularity", str(file), *common]) == 0
    compared = json.loads((tmp_path / "out" / "comparison.json").read_text())["models"]
    assert compared["popularity"]["metrics"]["ndcg@10"] == pytest.approx(expected["ndcg@10"])
    assert compared["lists.parquet"]["method"] == "predictions"
    assert compared["lists.parquet"]["predictions"]["missing_users"] == 1
