"""What converting does whatever the source: repeats, bad lines, cut files, the same bytes."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_llmrec import RecDataset
from hf_llmrec.cli import convert as command
from hf_llmrec.converters.convert import convert
from hf_llmrec.converters.sources import SOURCES
from hf_llmrec.converters.tables import first_of_pairs

from .formats import fixture, raw, write


def log(*rows: tuple) -> list[str]:
    return ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in rows)]


def test_the_first_in_time_of_a_repeated_pair_stays(tmp_path, capsys):
    rows = [("u", "b", 9), ("u", "a", 5), ("u", "b", 3), ("v", "b", 9), ("u", "b", 3), ("u", "c", 4)]
    write(tmp_path / "raw" / "x.inter", log(*rows))
    options = ["recbole", "--input", str(tmp_path / "raw"), "--output_dir"]
    command.main([*options, str(tmp_path / "once")])
    assert "2 repeated interactions left out" in capsys.readouterr().out
    once = RecDataset.load(tmp_path / "once")
    assert [once.item_ids[row] for row in once.sequence(0)] == ["b", "c", "a"]
    command.main([*options, str(tmp_path / "all"), "--keep_repeats"])
    everything = RecDataset.load(tmp_path / "all")
    assert [everything.item_ids[row] for row in everything.sequence(0)] == ["b", "b", "c", "a", "b"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=40))
def test_first_of_pairs_is_what_a_loop_finds(rows):
    first = {}
    for place, (user, item, time) in enumerate(rows):
        if (user, item) not in first or time < first[user, item][0]:
            first[user, item] = (time, place)
    keep = first_of_pairs(*(np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)))
    assert np.flatnonzero(keep).tolist() == sorted(place for _, place in first.values())


def test_without_times_the_order_of_the_file_counts(tmp_path):
    lines = ["user_id:token\titem_id:token", "u\tb", "v\ta", "u\ta", "u\tc", "u\tb"]
    write(tmp_path / "x.inter", lines)
    convert(SOURCES["recbole"], [tmp_path / "x.inter"], tmp_path / "data")
    dataset = RecDataset.load(tmp_path / "data")
    assert dataset.timestamps is None and [dataset.item_ids[row] for row in dataset.sequence(0)] == ["b", "a", "c"]
    assert dataset.titles == ["b", "a", "c"], "an item of which nothing is said goes by its id"


def test_lines_that_cannot_be_read_are_counted_named_and_limited(tmp_path, capsys):
    good = fixture("amazon-2018", "Grocery_5.json")
    lines = [good[0], "{not json", good[1], '{"overall": 5.0}', good[0].replace('"A1"', "null"), "", "[1]"]
    write(tmp_path / "raw" / "Grocery_5.json", lines)
    options = ["amazon-2018", "--input", str(tmp_path / "raw"), "--output_dir", str(tmp_path / "data")]
    command.main([*options, "--max_bad_lines", "4"])
    said = capsys.readouterr().out
    assert "4 lines could not be read" in said
    for part in ("Grocery_5.json, line 2: ", "line 4: no 'reviewerID'", "line 5: no id: None", "line 7: "):
        assert part in said, part
    with pytest.raises(ValueError, match="more than 3 lines cannot be read .*line 2"):
        command.main([*options[:-1], str(tmp_path / "none"), "--max_bad_lines", "3"])
    assert not (tmp_path / "none").exists() or not list((tmp_path / "none").iterdir()), "nothing half-written stays"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["user\titem", "u\ta"], "x.inter: the first line has no item_id"),
        (log(), "the files hold no interaction"),
        (log(("u", "a", 3), ("u", "b", "")), "1 of 2 interactions have no timestamp"),
    ],
)
def test_files_that_are_not_what_they_should_be(lines, message, tmp_path):
    write(tmp_path / "x.inter", lines)
    with pytest.raises(ValueError, match=message):
        convert(SOURCES["recbole"], [tmp_path / "x.inter"], tmp_path / "data")


def test_a_file_that_is_cut_off_is_an_error(tmp_path):
    file = write(tmp_path / "Grocery_5.json.gz", fixture("amazon-2018", "Grocery_5.json") * 200)
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(ValueError, match="Grocery_5.json.gz: cannot be read after line"):
        convert(SOURCES["amazon-2018"], [file], tmp_path / "data")
    file.write_bytes(b"\xff\xfe" * 40)
    with pytest.raises(ValueError, match="cannot be read after line 0"):
        convert(SOURCES["amazon-2018"], [file], tmp_path / "data")


@pytest.mark.parametrize(
    "line",
    [
        "u\ta\tinf",
        "u\ta\t1e300",
        '{"half a character": "\\ud83d"}',
    ],
)
def test_values_that_no_table_holds_are_bad_lines(line, tmp_path, capsys):
    if line.startswith("{"):
        good = fixture("amazon-2018", "Grocery_5.json")[0]
        write(tmp_path / "raw" / "Grocery_5.json", [good, good.replace("It&#39;s good", "x \\ud83d y")])
        source = "amazon-2018"
    else:
        write(tmp_path / "raw" / "x.inter", [*log(("u", "b", 1)), line])
        source = "recbole"
    command.main([source, "--input", str(tmp_path / "raw"), "--output_dir", str(tmp_path / "data")])
    assert "1 lines could not be read" in capsys.readouterr().out
    assert RecDataset.load(tmp_path / "data").num_interactions == 1


def test_a_file_with_broken_bits_is_named(tmp_path):
    file = write(tmp_path / "Grocery_5.json.gz", fixture("amazon-2018", "Grocery_5.json") * 400)
    data = bytearray(file.read_bytes())
    data[200:260] = bytes(60)
    file.write_bytes(data)
    with pytest.raises(ValueError, match="Grocery_5.json.gz: cannot be read after line"):
        convert(SOURCES["amazon-2018"], [file], tmp_path / "data", max_bad_lines=10**6)


def test_an_archive_of_many_files_is_opened_once(tmp_path):
    with zipfile.ZipFile(tmp_path / "training_set.zip", "w") as archive:
        for movie in range(1500):
            archive.writestr(f"training_set/mv_{movie:07d}.txt", f"{movie}:\n{movie % 40},5,2005-09-06\n")
    report = convert(SOURCES["netflix"], [tmp_path / "training_set.zip"], tmp_path / "data")
    assert report.num_items == 1500 and "1494 more" in (tmp_path / "data" / "README.md").read_text()


def test_a_folder_with_a_data_set_is_left_alone(tmp_path):
    write(tmp_path / "x.inter", log(("u", "a", 1)))
    convert(SOURCES["recbole"], [tmp_path / "x.inter"], tmp_path / "data")
    with pytest.raises(FileExistsError, match="holds a data set already"):
        convert(SOURCES["recbole"], [tmp_path / "x.inter"], tmp_path / "data")


def test_inputs_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such file"):
        convert(SOURCES["recbole"], [tmp_path / "nowhere"], tmp_path / "data")
    with pytest.raises(FileNotFoundError, match="no NAME.inter"):
        convert(SOURCES["recbole"], [write(tmp_path / "raw" / "a.txt", ["x"]).parent], tmp_path / "data")
    (tmp_path / "broken.zip").write_bytes(b"PK no archive")
    with pytest.raises(ValueError, match="broken.zip: cannot be read"):
        convert(SOURCES["recbole"], [tmp_path / "broken.zip"], tmp_path / "data")


def test_two_runs_give_the_same_bytes(tmp_path):
    raw(tmp_path / "raw", "amazon-2018")
    for seed in ("1", "2"):
        options = ["amazon-2018", "--input", str(tmp_path / "raw"), "--output_dir", str(tmp_path / seed), "--name", "x"]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-m", "hf_llmrec.cli.convert", *options], check=True, env=environment)
    names = {path.name for path in (tmp_path / "1").iterdir()}
    assert names == {"README.md", "interactions.parquet", "items.parquet", "reviews.parquet"}
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def test_rows_beyond_a_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr("hf_llmrec.converters.tables._CHUNK", 7)
    rows = [
        json.loads(fixture("amazon-2018", "Grocery_5.json")[0])
        | {"reviewerID": f"A{n % 5}", "asin": f"{n % 9:04d}", "unixReviewTime": n}
        for n in range(60)
    ]
    write(tmp_path / "Grocery_5.json", [json.dumps({**row, "reviewText": f"text {n}"}) for n, row in enumerate(rows)])
    report = convert(SOURCES["amazon-2018"], [tmp_path], tmp_path / "data")
    dataset = RecDataset.load(tmp_path / "data")
    assert report.num_interactions == dataset.num_interactions == 45 and report.repeats == 15
    assert report.num_reviews == dataset.reviews.num_rows == 60
    expected = [f"{n % 9:04d}" for n in range(45) if n % 5 == 0]
    assert [dataset.item_ids[row] for row in dataset.sequence(dataset.user_ids.index("A0"))] == expected


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("source", "folder", "expected"),
    [
        ("amazon-2018", "amazon-gift-cards-2018", {"num_users": 458, "num_items": 148, "num_interactions": 2972}),
        ("recbole", "ml-100k", {"num_users": 943, "num_items": 1682, "num_interactions": 100_000}),
    ],
)
def test_real_files(source, folder, expected, tmp_path):
    data = Path(os.environ["HF_LLMREC_DATA"]) / folder
    report = convert(SOURCES[source], [data], tmp_path / "data", keep_repeats=True)
    assert {name: getattr(report, name) for name in expected} == expected and report.bad_lines == 0
    assert convert(SOURCES[source], [data], tmp_path / "once").repeats == (7 if source == "amazon-2018" else 0)
    dataset = RecDataset.load(tmp_path / "data")
    assert dataset.num_interactions == expected["num_interactions"] and dataset.notes["empty_titles"] == 0
