"""``hf-llmrec recommend`` and what the command line says when something is wrong."""

import json

import pytest
from transformers import pipeline

from hf_llmrec.cli import main, train_baseline


@pytest.fixture(scope="module")
def model(dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("recommend")
    dataset.save(root / "data")
    options = ["--model", "knn", "--dataset", str(root / "data"), "--output_dir", str(root / "knn")]
    train_baseline.main([*options, "--use_cpu", "True"])
    return str(root / "knn")


def test_a_table(model, capsys):
    assert main(["recommend", model, "--history", "i3", "i4", "--top_k", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    expected = pipeline("recommendation", model=model)({"history": ["i3", "i4"]}, top_k=3)
    assert lines[0].split() == ["score", "item_id", "title"] and len(lines) == 4
    for rank, (line, each) in enumerate(zip(lines[1:], expected, strict=True), start=1):
        assert line.split(maxsplit=3) == [str(rank), f"{each['score']:.4f}", each["item_id"], each["title"]]


def test_json_and_limits(model, capsys):
    options = ["--history", "i3", "--json", "--allowed", "i4", "i5", "--exclude", "i4"]
    assert main(["recommend", model, *options]) == 0
    assert [each["item_id"] for each in json.loads(capsys.readouterr().out)] == ["i5"]


@pytest.mark.parametrize(
    "options, message",
    [
        (["MODEL"], "give --history, --query, or both"),
        (["MODEL", "--history", "i3", "--top_k", "0"], "--top_k must be at least 1"),
        (["MODEL", "--history", "i3", "nothing", "--strict"], "nothing"),
        (["MODEL", "--history", "i3", "--query", "red"], "histories only"),
        (["/nowhere/at/all", "--history", "i3"], "/nowhere/at/all"),
    ],
)
def test_errors_are_one_line(model, capsys, options, message):
    assert main(["recommend", *[model if word == "MODEL" else word for word in options]]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("hf-llmrec recommend: ") and message in said


def test_where_an_error_arose_can_be_seen(model, monkeypatch):
    monkeypatch.setenv("HF_LLMREC_DEBUG", "1")
    with pytest.raises(ValueError, match="give --history"):
        main(["recommend", model])


def test_an_interrupt_is_no_error(monkeypatch, capsys):
    def interrupted(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr("hf_llmrec.cli.recommend.main", interrupted)
    assert main(["recommend"]) == 130 and not capsys.readouterr().err
