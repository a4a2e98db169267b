"""`convert table`: any table of interactions, as it is, in every form that people have."""

import gzip
import json
import zipfile

import pandas as pd
import pytest

from hf_llmrec.cli import convert, main
from hf_llmrec.data.interactions import RecDataset

ROWS = [
    {"customer": "007", "sku": "x-1", "when": "2024-03-01T10:00:00", "kind": "purchase", "stars": 5},
    {"customer": "7", "sku": "x-2", "when": "2024-03-02T10:00:00", "kind": "view", "stars": 3},
    {"customer": "007", "sku": "x-2", "when": "2024-03-03T10:00:00", "kind": "purchase", "stars": 2},
    {"customer": "007", "sku": "x-1", "when": "2024-03-04T10:00:00", "kind": "purchase", "stars": 4},
]
COLUMNS = ["--user", "customer", "--item", "sku", "--time", "when"]
FIRST = 1_709_287_200  # 2024-03-01 10:00 UTC


def write(file, rows=ROWS):
    frame, name = pd.DataFrame(rows), file.name
    if name.endswith(".parquet"):
        frame.assign(when=pd.to_datetime(frame["when"])).to_parquet(file)
    elif ".jsonl" in name:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    else:
        separator = {"commas": ",", "semicolons": ";", "tabs": "\t", "bars": "|"}[file.stem.split(".")[0]]
        frame.to_csv(file, sep=separator, index=False)
    return str(file)


def converted(folder, *options):
    assert convert.main(["table", *options, "--output_dir", str(folder / "data")]) == 0
    return RecDataset.load(folder / "data")


FORMS = ["commas.csv", "semicolons.csv", "tabs.tsv", "bars.txt", "commas.csv.gz", "a.jsonl", "b.jsonl.gz", "c.parquet"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same(tmp_path, capsys, form):
    dataset = converted(tmp_path, "--input", write(tmp_path / form), *COLUMNS)
    assert (dataset.user_ids, dataset.item_ids) == (["007", "7"], ["x-1", "x-2"]), "ids are text"
    assert dataset.sequence(0).tolist() == [0, 1, 0], "a repeated pair is no less an interaction"
    assert dataset.timestamps.tolist() == [FIRST + 86_400 * day for day in (0, 2, 3, 1)]
    said = capsys.readouterr().out
    assert "user '007' chose item 'x-1' at 2024-03-01 10:00:00" in said
    if form.split(".")[0] in ("commas", "semicolons", "tabs", "bars"):
        assert f"{form}: columns between {form.split('.')[0]}" in said


def test_several_files_and_what_is_said_of_items(tmp_path):
    write(tmp_path / "commas.csv", ROWS[:2])
    write(tmp_path / "tabs.tsv", ROWS[2:])
    items = pd.DataFrame({"id": ["x-2", "x-1"], "label": ["Two; <b>halves</b>", "One"], "maker": ["B", None]})
    items.to_csv(tmp_path / "items.csv", sep=";", index=False)
    files = [
        "--input",
        str(tmp_path / "commas.csv"),
        str(tmp_path / "tabs.tsv"),
        "--items",
        str(tmp_path / "items.csv"),
    ]
    named = ["--items_id", "id", "--title", "label", "--brand", "maker"]
    dataset = converted(tmp_path, *files, *named, *COLUMNS)
    assert dataset.titles == ["One", "Two; halves"] and dataset.brands == ["", "B"]
    assert dataset.num_interactions == 4


@pytest.mark.parametrize("place", ["folder", "archive"])
def test_items_in_a_folder_or_an_archive(tmp_path, place):
    items = pd.DataFrame({"sku": ["x-2", "x-1"], "title": ["Two", "One"]}).to_csv(index=False)
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "items.csv").write_text(items, encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "shelf.zip", "w") as archive:
        archive.writestr("items.csv", items)
    where = str(tmp_path / ("shelf" if place == "folder" else "shelf.zip"))
    dataset = converted(tmp_path, "--input", write(tmp_path / "commas.csv"), "--items", where, *COLUMNS)
    assert dataset.titles == ["One", "Two"] and dataset.num_interactions == 4


def test_texts_in_the_log(tmp_path):
    rows = [{**row, "product": f"Piece {row['sku']}", "brand": "B"} for row in ROWS]
    dataset = converted(tmp_path, "--input", write(tmp_path / "commas.csv", rows), *COLUMNS, "--title", "product")
    assert dataset.titles == ["Piece x-1", "Piece x-2"] and dataset.brands == ["B", "B"]


def test_filters_that_were_asked_for(tmp_path, capsys):
    options = ["--event", "kind", "--keep_events", "purchase", "refund", "--rating", "stars", "--min_rating", "4"]
    dataset = converted(tmp_path, "--input", write(tmp_path / "commas.csv"), *COLUMNS, *options)
    assert dataset.user_ids == ["007"] and dataset.ratings.tolist() == [5, 4]
    said = capsys.readouterr().out
    assert "1 rows of another event left out" in said and "1 rows below the rating left out" in said
    again = [
        "--input",
        str(tmp_path / "commas.csv"),
        *COLUMNS,
        "--drop_repeats",
        "--output_dir",
        str(tmp_path / "once"),
    ]
    assert convert.main(["table", *again]) == 0
    assert RecDataset.load(tmp_path / "once").num_interactions == 3


@pytest.mark.parametrize(
    "times, options",
    [
        ([FIRST, FIRST + 86_400], []),
        ([FIRST * 1000, (FIRST + 86_400) * 1000], []),
        ([19783, 19784], []),  # days: of 2024-03-01 and the next
        (["01.03.2024 10:00", "02.03.2024 10:00"], ["--time_format", "%d.%m.%Y %H:%M"]),
        ([FIRST // 60, FIRST // 60 + 1440], ["--time_unit", "s"]),  # whatever the magnitude suggests
    ],
)
def test_times_of_every_kind(tmp_path, times, options):
    rows = [{"u": "a", "i": f"x{number}", "t": time} for number, time in enumerate(times)]
    pd.DataFrame(rows).to_csv(tmp_path / "log.csv", index=False)
    columns = ["--user", "u", "--item", "i", "--time", "t"]
    dataset = converted(tmp_path, "--input", str(tmp_path / "log.csv"), *columns, *options)
    first, second = dataset.timestamps.tolist()
    if "--time_unit" in options:
        assert (first, second) == (FIRST // 60, FIRST // 60 + 1440)
    else:
        assert second - first == 86_400 and abs(first - FIRST) < 86_400


def test_without_times_rows_are_in_order(tmp_path, capsys):
    dataset = converted(tmp_path, "--input", write(tmp_path / "commas.csv"), *COLUMNS[:4])
    assert dataset.timestamps is None and dataset.sequence(0).tolist() == [0, 1, 0]
    assert "user '7' chose item 'x-2' as number 1" in capsys.readouterr().out


def test_lines_that_cannot_be_read_are_counted_once_and_named(tmp_path, capsys):
    (tmp_path / "log.csv").write_text(
        'u,i,t\na,x,1700000000\nb,x\n,x,1700000001\na,"two\nlines",1700000002\na,y,soon\n', encoding="utf-8"
    )
    dataset = converted(tmp_path, "--input", str(tmp_path / "log.csv"), "--user", "u", "--item", "i", "--time", "t")
    assert dataset.num_interactions == 2 and dataset.item_ids == ["x", "two\nlines"]
    said = capsys.readouterr().out
    assert "3 lines could not be read" in said and "log.csv, line 3: 2 fields instead of 3" in said
    assert "line 4: no id in column 'u'" in said and "no time: 'soon'" in said


@pytest.mark.parametrize(
    "options, message",
    [
        (["--user", "buyer", "--item", "sku"], "no column 'buyer'; there are 'customer', 'sku'"),
        ([*COLUMNS, "--keep_events", "purchase"], "--keep_events is about a column: name it with event"),
        ([*COLUMNS, "--min_rating", "4"], "--min_rating is about a column"),
        (["--user", "customer", "--item", "sku", "--time_format", "%Y"], "--time_format is about a column"),
        ([*COLUMNS, "--max_bad_lines", "-1"], "--max_bad_lines must not be negative"),
        ([*COLUMNS, "--items", "nowhere.csv"], "nowhere.csv: there is no such file"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path, capsys, options, message):
    words = ["--input", write(tmp_path / "commas.csv"), *options, "--output_dir", str(tmp_path / "data")]
    assert main(["convert", "table", *words]) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "data" / "interactions.parquet").exists()


def test_the_help_names_it(capsys):
    for words in (["convert", "--help"], ["convert", "table", "--help"]):
        with pytest.raises(SystemExit):
            main(words)
        assert "table" in capsys.readouterr().out
