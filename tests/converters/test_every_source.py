"""What goes wrong with files of one source may with those of any other: each kind of oddity, in every format."""

import json

import pytest

from hf_llmrec import RecDataset
from hf_llmrec.cli import convert as command

from .formats import FORMATS
from .publishers import (
    COLUMNS,
    RECORDS,
    SECONDS,
    SEPARATORS,
    TIMES,
    WITH_TITLES,
    as_json,
    item_lines,
    log_lines,
    publish,
)

ITEMS = ("9001", "9002", "9003")
LOG = list(zip(["7001"] * 3, ITEMS, TIMES, strict=True))
NUMBERS = list(zip(["7001"] * 3, ITEMS, SECONDS, strict=True))
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


def numbered(name: str) -> list:
    """The log with times as the source writes them: dates, or numbers."""
    return LOG if name in ("gowalla", "netflix", "steam", "yelp") else NUMBERS


def converted(tmp_path, name, *options) -> RecDataset:
    output = str(tmp_path / "data")
    command.main([name, "--input", str(tmp_path / "raw"), "--output_dir", output, "--max_bad_lines", "0", *options])
    return RecDataset.load(output)


@pytest.mark.parametrize("unit", [*UNITS, "days"])
@pytest.mark.parametrize("name", FORMATS)
def test_times_in_any_unit_become_seconds(name, unit, tmp_path, capsys):
    times = [value // 86_400 if unit == "days" else value * UNITS[unit] for value in SECONDS]
    publish(tmp_path / "raw", name, log_lines(name, list(zip(["7001"] * 3, ITEMS, times, strict=True))))
    dataset = converted(tmp_path, name)
    expected = [value // 86_400 * 86_400 if unit == "days" else value for value in SECONDS]
    assert dataset.timestamps.tolist() == expected
    if dataset.reviews is not None:
        assert dataset.reviews.column("timestamp").to_pylist() == expected
    assert (f"times came in {unit}" in capsys.readouterr().out) == (unit != "seconds")


@pytest.mark.parametrize("name", FORMATS)
def test_times_in_different_units_are_an_error(name, tmp_path):
    log = [*NUMBERS, ("7001", "9004", SECONDS[0] * 1000)]
    publish(tmp_path / "raw", name, log_lines(name, log))
    with pytest.raises(ValueError, match="1 of 4 are not in seconds; the first is 1600000000000, that of user '7001'"):
        converted(tmp_path, name)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("time", ["soon", 10**19])
def test_what_is_no_time_is_a_bad_line(name, time, tmp_path):
    publish(tmp_path / "raw", name, log_lines(name, [("7001", "9001", time), *numbered(name)]))
    with pytest.raises(ValueError, match=r"more than 0 lines cannot be read .*line [12]: no time: "):
        converted(tmp_path, name)


@pytest.mark.parametrize("name", WITH_TITLES)
def test_words_in_angle_brackets_stay_and_entities_are_undone(name, tmp_path):
    titles = {
        "9001": ("HDMI Cable <Black> 2m <Small>", "HDMI Cable <Black> 2m <Small>"),
        "9002": ("Learn &lt;iostream&gt; &amp;lt;b&amp;gt;", "Learn <iostream> <b>"),
        "9003": ("A <b>Tom</b> &amp;amp; Jerry<br/>&#39;A&#39; &copyright AT&T", "A Tom & Jerry 'A' &copyright AT&T"),
    }
    items = item_lines(name, [(item, written) for item, (written, _) in titles.items()])
    publish(tmp_path / "raw", name, log_lines(name, numbered(name)), items)
    assert converted(tmp_path, name).titles == [" ".join(wanted.split()) for _, wanted in titles.values()]


@pytest.mark.parametrize("name", WITH_TITLES)
def test_utf8_is_read_as_such(name, tmp_path, capsys):
    items = item_lines(name, [("9001", "Amélie"), ("9002", "Plain"), ("9003", "\u682a & Søn")])
    publish(tmp_path / "raw", name, log_lines(name, numbered(name)), items)
    assert converted(tmp_path, name).titles == ["Amélie", "Plain", "\u682a & Søn"]
    has_another = name in ("movielens-100k", "movielens-1m", "netflix")
    assert ("read as UTF-8" in capsys.readouterr().out) == has_another


@pytest.mark.parametrize("name", WITH_TITLES)
def test_latin1_is_read_where_the_publisher_has_it_and_named_elsewhere(name, tmp_path, capsys):
    items = item_lines(name, [("9001", "Amélie"), ("9002", "Plain"), ("9003", "Søn")])
    publish(tmp_path / "raw", name, log_lines(name, numbered(name)), items, encoding="latin-1")
    if name in ("movielens-100k", "movielens-1m", "netflix"):
        assert converted(tmp_path, name).titles == ["Amélie", "Plain", "Søn"]
        assert "read as Latin-1" in capsys.readouterr().out
    else:
        with pytest.raises(ValueError, match="line [12]: not UTF-8: byte 0xe9 at character"):
            converted(tmp_path, name)


@pytest.mark.parametrize("name", WITH_TITLES)
def test_of_an_item_that_occurs_again_the_first_title_counts(name, tmp_path):
    items = [("9001", ""), ("9002", "Second"), ("9001", "First"), ("9003", "Third"), ("9001", "Later"), ("9002", "")]
    publish(tmp_path / "raw", name, log_lines(name, numbered(name)), item_lines(name, items))
    assert converted(tmp_path, name).titles == ["First", "Second", "Third"]


@pytest.mark.parametrize("other", [";", ",", "\t", "|", "::"])
@pytest.mark.parametrize("name", SEPARATORS)
def test_another_separator_is_named(name, other, tmp_path):
    own, words = SEPARATORS[name]
    if other == own:
        other = " "
    lines = [line.replace(own, other) for line in log_lines(name, numbered(name))]
    publish(tmp_path / "raw", name, lines)
    with pytest.raises(ValueError, match=f"separated by {words}"):
        converted(tmp_path, name)
    # A handful of lines is fewer than are skipped by default: the error says the same.
    with pytest.raises(ValueError, match=f"separated by {words}"):
        converted(tmp_path, name, "--max_bad_lines", "100")
    if name != "gowalla":
        own, words = {"movielens-100k": ("|", "bars")}.get(name, (own, words))
        items = [line.replace(own, " ") for line in item_lines(name, [(item, "A title") for item in ITEMS])]
        publish(tmp_path / "raw", name, log_lines(name, numbered(name)), items)
        with pytest.raises(ValueError, match=f"separated by {words}"):
            converted(tmp_path, name)


SHAPES = {
    "JSON": as_json,
    "JSON with spaces": lambda row: f"  {{ {as_json(row)[1:-1]} }} ",
    "JSON without spaces": lambda row: json.dumps(row, separators=(",", ":")),
    "Python": repr,
    "Python with spaces": lambda row: f" {{ {repr(row)[1:-1]} }} ",
    "Python 2": lambda row: repr(row).replace("'", "u'", 1),
    "Python, double quotes": lambda row: (
        "{" + repr(row)[1:-1].replace(f"'{next(iter(row))}'", f'"{next(iter(row))}"') + "}"
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", RECORDS)
def test_json_and_python_literals_are_read_alike(name, shape, tmp_path):
    dump = SHAPES[shape]
    items = item_lines(name, [("9001", "Cook's mill"), ("9002", 'A 5" pan'), ("9003", "Salt")], dump=dump)
    publish(tmp_path / "raw", name, log_lines(name, numbered(name), dump=dump), items)
    assert converted(tmp_path, name).titles == ["Cook's mill", 'A 5" pan', "Salt"]


@pytest.mark.parametrize("name", RECORDS)
def test_what_is_neither_json_nor_python_says_so(name, tmp_path):
    publish(tmp_path / "raw", name, ["7001,9001,5,1600000000"])
    with pytest.raises(ValueError, match="line 1: neither a JSON object nor a Python dictionary.*: '7001,9001"):
        converted(tmp_path, name)


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_other_names(name, tmp_path):
    log = log_lines(name, numbered(name), columns=("visitor", "product", "moment"))
    publish(tmp_path / "raw", name, log, item_lines(name, [(item, f"Title {item}") for item in ITEMS]))
    options = ["--user_id_column", "visitor", "--item_id_column", "product", "--timestamp_column", "moment"]
    for start in (0, 2):
        with pytest.raises(ValueError, match=r"no '?\w+'?.*--(user|item)_id_column names another"):
            converted(tmp_path, name, *options[start : start + 2])
    dataset = converted(tmp_path, name, *options)
    titles = [f"Title {item}" for item in ITEMS]
    assert (dataset.user_ids, dataset.item_ids, dataset.titles) == (["7001"], list(ITEMS), titles)
    assert (dataset.timestamps // 86_400).tolist() == [value // 86_400 for value in SECONDS]


@pytest.mark.parametrize("name", COLUMNS)
def test_the_files_about_items_may_have_the_other_name_too(name, tmp_path):
    items = item_lines(name, [(item, f"Title {item}") for item in ITEMS], item_id="product")
    log = log_lines(name, numbered(name), columns=(COLUMNS[name][0], "product", COLUMNS[name][2]))
    publish(tmp_path / "raw", name, log, items)
    assert converted(tmp_path, name, "--item_id_column", "product").titles == [f"Title {item}" for item in ITEMS]


@pytest.mark.parametrize("name", sorted(set(FORMATS) - set(COLUMNS)))
def test_formats_without_names_of_columns_have_none_to_change(name, tmp_path):
    publish(tmp_path / "raw", name, log_lines(name, numbered(name)))
    with pytest.raises(ValueError, match="--user_id_column: the files of .* have no names of columns"):
        converted(tmp_path, name, "--user_id_column", "visitor")
