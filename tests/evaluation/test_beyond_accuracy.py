"""Novelty, popularity, diversity and coverage: the values that RecTools 0.19 gives for the same recommendations."""

import json

import numpy as np
import pytest

from hf_llmrec.cli import evaluate
from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.data.splits import RecSplit
from hf_llmrec.evaluation.beyond_accuracy import beyond_accuracy

ROWS = np.array([[3, 1, 4, 0], [2, 0, 5, -1], [1, 2, 3, 6], [7, -1, -1, -1], [-1, -1, -1, -1], [5, 6, 0, 2]])
LOG = [[0, 1, 2], [0, 1, 1], [0, 3], [5, 0, 2, 4], [1], [6, 0]]  # a repeat, and item 7, which nobody chose
VECTORS = [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0, 2], [1, 1, 1], [0.2, 0, 0.9], [0, 0.3, 0.1], [1, 0, 1]]
# MeanInvUserFreq, AvgRecPopularity and CatalogCoverage with normalize=True, IntraListDiversity with 1 - cosine.
EXPECTED = {
    "novelty@2": 1.8357771910881886,
    "popularity@2": 0.13333333333333336,
    "diversity@2": 0.5968391531113874,
    "coverage@2": 0.875,
    "novelty@4": 1.8728115681678132,
    "popularity@4": 0.1288888888888889,
    "diversity@4": 0.5590228578746548,
    "coverage@4": 1.0,
}


@pytest.fixture
def split() -> RecSplit:
    indptr = np.concatenate([[0], np.cumsum([len(items) for items in LOG])]).astype(np.int32)
    return RecSplit(indptr, np.concatenate(LOG).astype(np.int32), None, None, 0, "leave_one_out")


def test_the_values_of_rectools(split):
    found = beyond_accuracy(ROWS, split, 8, vectors=np.array(VECTORS), ks=(4, 2))
    assert found == pytest.approx(EXPECTED, abs=1e-12) and list(found) == list(EXPECTED)


def test_without_vectors_there_is_no_diversity(split):
    assert set(beyond_accuracy(ROWS, split, 8, ks=(2,))) == {"novelty@2", "popularity@2", "coverage@2"}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"ks": (5,)}, "5 is beyond the end of rankings of 4 items"),
        ({"ks": (0,)}, "ks must be integers"),
        ({"vectors": np.ones((7, 2))}, "vectors: 7 for 8 items"),
        ({"item_rows": np.full((2, 3), -1)}, "nobody is recommended anything"),
    ],
)
def test_what_is_refused(split, change, message):
    values = {"item_rows": ROWS, "ks": (2,), **change}
    with pytest.raises(ValueError, match=message):
        beyond_accuracy(values.pop("item_rows"), split, 8, **values)


def test_the_command_reports_them(dataset: RecDataset, tmp_path, capsys):
    dataset.save(tmp_path / "data")
    words = ["--model", "popularity", "--dataset", str(tmp_path / "data"), "--output", str(tmp_path / "f.json")]
    assert evaluate.main([*words, "--beyond_accuracy", "True", "--ks", "3"]) == 0
    report = json.loads((tmp_path / "f.json").read_text())["beyond_accuracy"]
    assert set(report) == {
        f"{name}@{k}" for name in ("novelty", "popularity", "diversity", "coverage") for k in (3, 10)
    }
    # The most popular items are the same for everybody: one list, whose items are no more diverse than they are.
    assert report["coverage@10"] == pytest.approx(10 / dataset.num_items)
    assert report["popularity@3"] >= report["popularity@10"] > 1 / dataset.num_items
    assert "novelty@10" in capsys.readouterr().out
