"""Held-out items: nobody has interacted with them until the test, wherever one looks."""

import json

import numpy as np
import pytest

from hf_llmrec.cli import main, train_baseline
from hf_llmrec.data.cold_items import ColdItems
from hf_llmrec.data.demo import make_demo_shop
from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.evaluation.cold_metrics import cold_and_warm
from hf_llmrec.evaluation.compare import case_groups
from hf_llmrec.methods.popularity.recommender import PopularityRecommender
from hf_llmrec.prompting.training_text import intention_rows, last_training_times, preference_rows


@pytest.fixture(scope="module")
def shop() -> RecDataset:
    """Random users with times."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, 30, (80, 9))
    rows = [(f"u{user}", f"i{chosen[user, place]}", 100 * place + user) for user in range(80) for place in range(9)]
    users, items, times = zip(*rows, strict=True)
    ids = [f"i{row}" for row in range(30)]
    log = {"user_id": list(users), "item_id": list(items), "timestamp": list(times)}
    return RecDataset.from_datasets(log, {"item_id": ids, "title": ids})


@pytest.mark.parametrize("strategy", ["leave_one_out", "temporal"])
def test_nobody_has_seen_them_before_the_test(shop, strategy):
    full, split = shop.split(strategy), shop.split(strategy, cold_items=0.2, cold_seed=3)
    cold = split.is_cold
    assert cold.sum() == 6 and not cold[split.train_indices].any()
    for cases in (split.validation, split.test):
        assert not any(cold[cases.histories[number]].any() for number in range(len(cases)))
    assert not cold[split.validation.targets].any() and cold[split.test.targets].any()
    # Nothing else has changed.
    for user in range(shop.num_users):
        before = full.train_sequence(user)
        assert split.train_sequence(user).tolist() == before[~cold[before]].tolist()
    keep = ~cold[full.validation.targets]
    assert split.validation.user_rows.tolist() == full.validation.user_rows[keep].tolist()
    assert split.test.user_rows.tolist() == full.test.user_rows.tolist()
    assert split.test.targets.tolist() == full.test.targets.tolist()
    for number in range(len(split.test)):
        history = full.test.histories[number]
        assert split.test.histories[number].tolist() == history[~cold[history]].tolist()
        if strategy == "temporal":
            assert split.test.period_items[number].tolist() == full.test.period_items[number].tolist()
    if strategy == "temporal":
        assert not any(cold[split.validation.period_items[number]].any() for number in range(len(split.validation)))
        assert (last_training_times(shop, split) == last_training_times(shop, full)).all()


def test_the_choice_is_seeded_and_belongs_to_the_fingerprint(shop):
    assert ColdItems(0.2, 3).choose(30).tolist() == ColdItems(0.2, 3).choose(30).tolist()
    splits = [
        shop.split(),
        *(shop.split(cold_items=share, cold_seed=seed) for share, seed in ((0.2, 0), (0.2, 1), (0.3, 0))),
    ]
    prints = [shop.data_fingerprint(split) for split in splits]
    assert len({each.split for each in prints}) == 4 and len({each.interactions for each in prints}) == 1
    assert prints[1] == shop.data_fingerprint(shop.split(cold_items=0.2))
    assert ":cold0.2-1:" in prints[2].split
    assert ColdItems(0.0001).choose(30).sum() == 1 and ColdItems(0.9999).choose(30).sum() == 29
    for wrong in (-0.1, 1.0, 2):
        with pytest.raises(ValueError, match="cold_items must be a share"):
            shop.split(cold_items=wrong)


def test_what_was_written_about_them_is_not_read():
    shop = make_demo_shop().dataset
    split = shop.split(cold_items=0.3)
    intentions = intention_rows(shop, split)
    assert intentions and not any(split.is_cold[item] for _, item, _ in intentions)
    assert len(intentions) < len(intention_rows(shop, shop.split()))
    lost = split.period_lengths > np.diff(split.train_indptr)
    kept, everybody = preference_rows(shop, split), preference_rows(shop, shop.split())
    users = shop.preferences.column("user_id").to_pylist()
    complete = [user for user in users if not lost[shop.user_row[user]]]
    assert 0 < len(kept) < len(everybody) and len(kept) <= len(complete)


def test_warm_and_cold_metrics(shop):
    split = shop.split(cold_items=0.2)
    result = PopularityRecommender.fit(shop, split).evaluate(split.test, k=30, ks=[30])
    is_cold = split.is_cold[split.test.targets]
    groups = cold_and_warm(result, is_cold)
    assert groups["cold"]["num_users"] == is_cold.sum() and groups["warm"]["num_users"] == (~is_cold).sum()
    for metric in ("ndcg@10", "hit_rate@30"):
        parts = [groups[name][metric] * groups[name]["num_users"] for name in groups]
        assert sum(parts) / len(is_cold) == pytest.approx(result[metric])
    assert groups["cold"]["ndcg@10"] < groups["warm"]["ndcg@10"]  # never counted, they come last
    assert cold_and_warm(result, np.zeros(len(is_cold), bool))["cold"] == {
        **dict.fromkeys(set(groups["cold"]) - {"num_users"}),
        "num_users": 0,
    }
    masks = case_groups(shop, split, split.test).masks
    assert (masks["held-out item"] == is_cold).all() and (masks["warm item"] == ~is_cold).all()


def test_several_seeds_hold_out_what_each_of_them_does(shop):
    both, (one, other) = ColdItems(0.2, (3, 5)), (ColdItems(0.2, seed).choose(30) for seed in (3, 5))
    assert (both.choose(30) == one | other).all() and (one != other).any()
    # Of a single seed in a list, names and records are those of the seed.
    assert (str(ColdItems(0.2, (3,))), ColdItems(0.2, (3,)).facts) == (str(ColdItems(0.2, 3)), ColdItems(0.2, 3).facts)
    assert (str(both), both.facts["cold_seed"]) == ("cold0.2-3+5", [3, 5])
    # However the choice is written, it is the same one.
    for seeds in ((5, 3), [3, 5, 3], np.array([5, 3])):
        assert ColdItems(0.2, seeds) == both
    assert ColdItems(0.2, np.int64(3)) == ColdItems(0.2, 3) == ColdItems(0.2, [3, 3])
    split = shop.split(cold_items=0.2, cold_seed=[3, 5])
    assert (split.is_cold == ColdItems(0.2, (3, 5)).choose(shop.num_items)).all()
    assert not split.is_cold[split.train_indices].any()
    with pytest.raises(ValueError, match="leaves no item"):
        ColdItems(0.9, tuple(range(40))).choose(30)
    with pytest.raises(ValueError, match="cold_seed must be one or more seeds"):
        ColdItems(0.2, ())


def test_the_commands(shop, tmp_path, capsys):
    shop.save(tmp_path / "data")
    data = ["--dataset", str(tmp_path / "data"), "--use_cpu", "True"]
    cold = ["--cold_items", "0.2", "--cold_seed", "4"]
    train_baseline.main(["--model", "knn", *data, *cold, "--output_dir", str(tmp_path / "knn")])
    capsys.readouterr()
    evaluate = ["evaluate", "--model", str(tmp_path / "knn"), *data[:2]]
    assert main([*evaluate, *cold, "--output", str(tmp_path / "m.json")]) == 0
    table, report = capsys.readouterr().out, json.loads((tmp_path / "m.json").read_text())
    assert "\ncold" in table and "\nwarm" in table
    assert report["groups"]["cold"]["num_users"] + report["groups"]["warm"]["num_users"] == report["num_users"]
    assert (report["cold_items"], report["cold_seed"]) == (0.2, 4)
    assert main([*evaluate, *cold, "5"]) == 1  # further items are held out: not the split of the training
    assert "cold_seed 4, this is [4, 5]" in capsys.readouterr().err
    assert main(evaluate) == 1
    assert "cold_items 0.2, this is 0" in capsys.readouterr().err
    assert main([*evaluate, "--cold_items", "1.5"]) == 1
    assert "--cold_items must be a share" in capsys.readouterr().err
