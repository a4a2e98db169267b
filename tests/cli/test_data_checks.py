"""What the commands refuse: data with nobody to evaluate, and whatever was fitted on other data."""

import pytest

from hf_llmrec.cli import evaluate, train_baseline, train_lcrec
from hf_llmrec.data.interactions import RecDataset

ITEMS = {"item_id": [*"abcdef"], "title": [*"ABCDEF"]}


def save_log(folder, lengths, start=0):
    """Users with so many interactions each, a day apart."""
    rows = [
        (f"u{user}", ITEMS["item_id"][(user + n) % 6], start + n) for user, m in enumerate(lengths) for n in range(m)
    ]
    columns = dict(zip(("user_id", "item_id", "timestamp"), zip(*rows, strict=True), strict=True))
    RecDataset.from_datasets({name: list(values) for name, values in columns.items()}, ITEMS).save(folder)
    return str(folder)


@pytest.mark.parametrize("model", ["knn", "popularity", "sasrec", "lightgcn"])
def test_training_needs_somebody_to_evaluate(tmp_path, model):
    data = save_log(tmp_path / "few", [2] * 30)
    with pytest.raises(ValueError, match="nobody can be evaluated .*none of the 30 users has three interactions"):
        train_baseline.main(["--model", model, "--dataset", data, "--output_dir", str(tmp_path / "out")])
    assert not (tmp_path / "out" / "recommender.json").exists()


def test_language_models_need_somebody_to_evaluate(tmp_path):
    data = save_log(tmp_path / "few", [2] * 30)
    with pytest.raises(ValueError, match="nobody can be evaluated"):
        train_lcrec.main(["--dataset", data, "--index", "none", "--output_dir", str(tmp_path / "out")])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluation_needs_somebody_to_evaluate(tmp_path, split):
    data = save_log(tmp_path / "few", [2, 1] * 15)
    options = ["--model", "popularity", "--dataset", data, "--split", split, "--output", str(tmp_path / "m.json")]
    with pytest.raises(ValueError, match=rf"nobody can be evaluated \({split}, leave_one_out\)"):
        evaluate.main(options)
    assert not (tmp_path / "m.json").exists()


def test_a_temporal_split_says_which_period_is_empty(tmp_path):
    log = {"user_id": [f"u{n}" for n in range(20)], "item_id": [*"ab"] * 10, "timestamp": list(range(20))}
    RecDataset.from_datasets(log, ITEMS).save(tmp_path / "data")
    options = ["--model", "popularity", "--dataset", str(tmp_path / "data"), "--protocol", "temporal"]
    with pytest.raises(ValueError, match="none of the 20 users has an interaction in the test period and one before"):
        evaluate.main(options)
