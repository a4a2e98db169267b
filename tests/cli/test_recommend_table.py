"""`hf-llmrec recommend --input`."""

import pyarrow.parquet as pq
import pytest

from hf_llmrec.cli import main
from hf_llmrec.methods.auto import AutoRecommender


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "histories.jsonl"
    path.write_text('{"user_id": "a", "history": ["i3", "i4"]}\n{"user_id": "b", "history": ["i5", "gone"]}\n')
    return str(path)


def test_every_option(recommender_folders, table, tmp_path, capsys):
    model, output = str(recommender_folders["sasrec"]), str(tmp_path / "recs")
    words = ["recommend", model, "--input", table, "--output", output, "--top_k", "3", "--users_per_part", "1"]
    words += ["--exclude", "i1", "i2", "--allowed", *(f"i{item}" for item in range(9)), "--time", "1714564800"]
    assert main([*words, "--batch_size", "7"]) == 0
    assert f"{output}: 2 users in 2 parts (2 new)" in capsys.readouterr().out
    limits = {"exclude": ["i1", "i2"], "allowed": [f"i{item}" for item in range(9)]}
    requests = [{"history": ["i3", "i4"]}, {"history": ["i5"]}]
    answers = AutoRecommender.from_pretrained(model).recommend(requests, top_k=3, **limits)
    written = pq.read_table(output).to_pylist()
    assert [row["item_ids"] for row in written] == [[each["item_id"] for each in answer] for answer in answers]
    assert main(words) == 0
    assert "complete before, nothing to do" in capsys.readouterr().out
    assert main([*words[:-1], "2024-05-01T12:00:00+00:00"]) == 0  # the same time as ISO text
    assert main([*words[:-1], "2024-05-02"]) == 1
    assert "time: 1714564800 before, 1714608000 now" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, message",
    [
        (["--input", "TABLE"], "--input needs --output"),
        (["--input", "TABLE", "--output", "OUT", "--history", "i3"], "--history is for one history"),
        (["--input", "TABLE", "--output", "OUT", "--query", "red"], "--query is for one history"),
        (["--input", "TABLE", "--output", "OUT", "--json"], "--json is for one history"),
        (["--input", "TABLE", "--output", "OUT", "--users_per_part", "0"], "--users_per_part must be at least 1"),
        (["--input", "TABLE", "--output", "OUT", "--batch_size", "0"], "--batch_size must be at least 1"),
        (["--input", "TABLE", "--output", "OUT", "--strict"], "line 2: 1 of 2 items in 'history' are not in"),
        (["--input", "nothing.parquet", "--output", "OUT"], "nothing.parquet: no such file of histories"),
        (["--history", "i3", "--output", "OUT"], "--output is for tables of histories: give --input, too"),
    ],
)
def test_errors_are_one_line(recommender_folders, table, tmp_path, capsys, words, message):
    places = {"TABLE": table, "OUT": str(tmp_path / "recs")}
    assert main(["recommend", str(recommender_folders["knn"]), *(places.get(word, word) for word in words)]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("hf-llmrec recommend: ") and message in said
    assert not list(tmp_path.glob("recs/part-*"))
