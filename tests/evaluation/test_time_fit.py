"""Fitting time features: on data with fashions they help, and everything that ranks knows them afterwards."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from hf_llmrec.cli import evaluate, main
from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.data.item_activity import ACTIVITY_FILE, DAY
from hf_llmrec.data.time_features import log_gaps
from hf_llmrec.evaluation.time_fit import fit_time_features
from hf_llmrec.hub.published_files import recommender_files
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.fusion.recommender import FusionRecommender
from hf_llmrec.methods.popularity.recommender import PopularityRecommender
from hf_llmrec.methods.sasrec.recommender import SASRecRecommender
from hf_llmrec.methods.sasrec.trainer import SASRecTrainer
from hf_llmrec.methods.sasrec.trainer_config import SASRecTrainingConfig

NUM_ITEMS = 40
START = 1_500_000_000


def shop(fashions: bool) -> RecDataset:
    """Users who buy what is in fashion, each week other items; or anything at any time."""
    rng = np.random.default_rng(0)
    users, items, times = [], [], []
    for user in range(400):
        moments = np.sort(rng.integers(0, 40 * 7, 6))
        for day in moments.tolist():
            week = day // 7
            item = (
                (3 * week + rng.integers(3)) % NUM_ITEMS if fashions and rng.random() < 0.8 else rng.integers(NUM_ITEMS)
            )
            users.append(f"u{user}")
            items.append(f"i{item}")
            times.append(START + day * DAY + int(rng.integers(DAY)))
    log = {"user_id": users, "item_id": items, "timestamp": times}
    ids = [f"i{row}" for row in range(NUM_ITEMS)]
    return RecDataset.from_datasets(log, {"item_id": ids, "title": ids}, name="shop")


@pytest.fixture(scope="module")
def fitted():
    dataset = shop(fashions=True)
    split = dataset.split()
    recommender = PopularityRecommender.fit(dataset, split)
    return dataset, split, recommender, fit_time_features(recommender, split, split.validation)


def test_fashions_are_learned(fitted):
    _, split, recommender, report = fitted
    assert report["ndcg@10"] > 2 * report["without"] and report["cases"] == len(split.validation)
    without, with_times = (recommender.evaluate(split.test, request_times=known) for known in (False, True))
    assert with_times["ndcg@10"] > 2 * without["ndcg@10"]
    plain = PopularityRecommender.fit(*fitted[:2])
    assert without.metrics == plain.evaluate(split.test).metrics  # rankings without times stay as they were


def test_the_likelihood_has_its_maximum_there(fitted):
    """Against the likelihood written out: any small change of the weights makes it smaller."""
    _, split, recommender, _ = fitted
    cases, features = split.validation, recommender.time_features
    histories = [cases.histories[number] for number in range(len(cases))]
    scores = np.stack(recommender.score(histories, [np.arange(NUM_ITEMS)] * len(cases)))

    gaps = (log_gaps(cases.request_times) - features.gap_mean) / features.gap_std

    def likelihood(changed):
        scales = changed.scale * np.exp(gaps * changed.gap_scale)
        rows = scales[:, None] * (scores + changed.bonus(cases.request_times).toarray())
        own = rows[np.arange(len(cases)), cases.targets]
        return float((own - np.log(np.exp(rows).sum(1))).mean())

    best = likelihood(features)
    for name in ("weights", "gap_weights"):
        # All of this log lies within a year, so that `last_365_days` is the same for all items.
        for place, step in itertools.product((0, 1, 2, 4), (-1.0, 1.0)):
            changed = getattr(features, name).copy()
            changed[place] += step
            assert likelihood(replace(features, **{name: changed})) < best
    for changes in ({"gap_scale": features.gap_scale + 0.3}, {"scale": features.scale * 1.5}):
        assert likelihood(replace(features, **changes)) < best


def test_nothing_is_added_where_times_say_nothing(caplog):
    dataset = shop(fashions=False)
    split = dataset.split()
    recommender = PopularityRecommender.fit(dataset, split)
    report = fit_time_features(recommender, split, split.validation)
    # Chance may favour a small weight; what is kept is never worse on the users it was fitted on.
    assert report["ndcg@10"] >= report["without"] or recommender.time_features is None
    few = split.validation.take(np.arange(20))
    assert fit_time_features(recommender, split, few)["cases"] == 20 and recommender.time_features is None


def test_rank_score_recommend_and_a_saved_one_agree(fitted, tmp_path):
    dataset, split, recommender, _ = fitted
    cases = split.test
    histories = [cases.histories[number] for number in range(5)]
    times = cases.request_times[:5]
    rows, scores = recommender.rank(histories, 10, times=times)
    assert not np.array_equal(rows, recommender.rank(histories, 10)[0])
    for own, one in zip(recommender.score(histories, list(rows), times=times), scores, strict=True):
        np.testing.assert_allclose(own, one, rtol=1e-5)
    recommender.save_pretrained(tmp_path / "saved")
    assert ACTIVITY_FILE in recommender_files(tmp_path / "saved")  # which are published
    loaded = AutoRecommender.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.rank(histories, 10, times=times)[0], rows)
    requests = [
        {"history": [dataset.item_ids[row] for row in history], "time": int(time), "last_time": int(last)}
        for history, (time, last) in zip(histories, times, strict=True)
    ]
    answers = loaded.recommend(requests)
    assert [[each["item_id"] for each in answer] for answer in answers] == [
        [dataset.item_ids[row] for row in ranking] for ranking in rows
    ]
    requests[0]["time"] = np.datetime64(int(times[0, 0]), "s").item().isoformat()
    assert loaded.recommend(requests[:1]) == answers[:1]
    # Without a time it is now, long after the last fashion.
    now = loaded.recommend([{"history": requests[0]["history"]}])[0]
    assert [each["item_id"] for each in now] == [dataset.item_ids[row] for row in loaded.rank(histories[:1], 10)[0][0]]
    fusion = FusionRecommender({"popularity": loaded, "same": recommender})
    assert fusion.uses_times
    np.testing.assert_array_equal(fusion.rank(histories, 10, times=times)[0], rows)
    with pytest.raises(ValueError, match="'time' is neither a number nor an ISO time: 'soon'"):
        loaded.recommend([{"history": [], "time": "soon"}])


def test_trained_by_the_commands(tmp_path, capsys):
    shop(fashions=True).save(tmp_path / "data")
    train = ["train", "sasrec", "--dataset", str(tmp_path / "data"), "--output_dir", str(tmp_path / "sasrec")]
    options = ["--max_steps", "30", "--use_cpu", "True", "--model_options", '{"hidden_size": 16}']
    assert main([*train, *options, "--disable_tqdm", "True"]) == 0
    stored = json.loads((tmp_path / "sasrec/recommender.json").read_text())["time_features"]
    assert (
        set(stored["weights"]) >= {"last_7_days", "newness"}
        and (tmp_path / "sasrec/item_activity.safetensors").exists()
    )
    asked = ["--model", str(tmp_path / "sasrec"), "--dataset", str(tmp_path / "data")]
    evaluate.main([*asked, "--output", str(tmp_path / "plain.json")])
    evaluate.main([*asked, "--request_times", "True", "--output", str(tmp_path / "timed.json")])
    plain, timed = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("plain", "timed"))
    assert timed["request_times"] is True and "request_times" not in plain
    assert timed["ndcg@10"] > 1.5 * plain["ndcg@10"]
    models = ["--models", str(tmp_path / "sasrec"), "popularity", "--dataset", str(tmp_path / "data")]
    compare = ["compare", *models, "--request_times", "True", "--output", str(tmp_path / "compared")]
    assert main([*compare, "--bootstrap_samples", "200"]) == 0
    report = json.loads((tmp_path / "compared/comparison.json").read_text())
    assert list(report["models"]) == ["sasrec", "sasrec + time", "popularity"]
    assert report["models"]["sasrec + time"]["metrics"]["ndcg@10"] == pytest.approx(timed["ndcg@10"])
    # Trained without them, the second model has none, and the first one's files are gone.
    assert main([*train, *options, "--learn_time_features", "False", "--disable_tqdm", "True"]) == 0
    assert "time_features" not in json.loads((tmp_path / "sasrec/recommender.json").read_text())
    assert not (tmp_path / "sasrec/item_activity.safetensors").exists()


def test_positions_alone_have_no_times(dataset, tmp_path):
    dataset.save(tmp_path / "data")
    popularity = PopularityRecommender.fit(dataset, dataset.split())
    with pytest.raises(ValueError, match="request_times needs a dataset with a timestamp column"):
        popularity.evaluate(dataset.split().test, request_times=True)
    with pytest.raises(ValueError, match="--request_times True: .* has no timestamp column"):
        evaluate.main(["--model", "popularity", "--dataset", str(tmp_path / "data"), "--request_times", "True"])


def test_refused_where_rows_mean_other_items_and_for_fusions(fitted):
    dataset, split, recommender, _ = fitted
    other = RecDataset.from_datasets(
        {"user_id": ["a"] * 3, "item_id": ["x", "y", "z"], "timestamp": [START, START + 1, START + 2]},
        {"item_id": ["x", "y", "z"], "title": ["x", "y", "z"]},
    ).split()
    with pytest.raises(ValueError, match="the model's 40 items are not the dataset's 3"):
        fit_time_features(recommender, other, other.validation)
    with pytest.raises(ValueError, match="a fusion has no time features of its own"):
        fit_time_features(FusionRecommender({"a": recommender, "b": recommender}), split, split.validation)
    with pytest.raises(ValueError, match="no validation user"):
        fit_time_features(recommender, split, split.validation.take(np.arange(0)))
    assert recommender.rank([], 3, times=np.zeros((0, 2), dtype=int))[0].shape == (0, 3)


def test_users_whose_last_interaction_is_not_known(fitted):
    _, split, _, _ = fitted
    recommender = PopularityRecommender.fit(*fitted[:2])
    cases = replace(split.validation, last_times=np.full(len(split.validation), -1))
    report = fit_time_features(recommender, split, cases)
    assert report["ndcg@10"] > 2 * report["without"] and recommender.time_features.gap_std == 1
    json.dumps(recommender.time_features.settings(), allow_nan=False)


def test_training_on_drops_them(dataset, fitted, tmp_path):
    """What was counted before is not what the new weights were fitted with, and may have been held out since."""
    shop_data, split = fitted[:2]
    recommender = SASRecRecommender.from_dataset(shop_data, hidden_size=8)
    values = {"max_steps": 2, "eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
    for learn, has in ((True, True), (False, False)):
        args = SASRecTrainingConfig(str(tmp_path), learn_time_features=learn, use_cpu=True, disable_tqdm=True, **values)
        SASRecTrainer(recommender, args, split=split).train()
        assert (recommender.time_features is not None) is has
