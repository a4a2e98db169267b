"""What is wrong with a table or a folder is said with file and row, before anything is ranked or written."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_llmrec import AutoRecommender, recommend_table
from hf_llmrec.serving.parts_folder import PartsFolder

from .conftest import check, write_lines, write_parquet

LISTS = pa.list_(pa.string())


@pytest.fixture
def model(recommender_folders):
    return recommender_folders["knn"]


def parts(folder):
    return sorted(path.name for path in folder.glob("part-*"))


LINES = [
    ('{"user_id": "a"}', "line 3: 'history' is missing"),
    ('{"user_id": "a", "history": null}', "line 3: 'history' is null"),
    ('{"history": ["i1"]}', "line 3: 'user_id' is missing"),
    ('{"user_id": 5, "history": ["i1"]}', "line 3: 'user_id' must be text, got 5"),
    ('{"user_id": "a", "history": "i1"}', "line 3: 'history' must be a list of item ids, got 'i1'"),
    ('{"user_id": "a", "history": ["i1", null]}', "line 3: 'history' must hold item ids, which are strings; got None"),
    ('{"user_id": "a", "history": ["i1"], "exclude": ["gone"]}', "line 3: 1 of 1 items in 'exclude' are not in"),
    ('{"user_id": "a", "history": ["i1"], "query": "red"}', "line 3: .* histories only"),
    ('{"user_id": "a", "history": ["i1"], "time": "noon"}', "line 3: 'time' is neither a number nor an ISO time"),
    ('["a", ["i1"]]', "line 3: an object with"),
    ('{"user_id": "a", "history": [', "line 3: not valid JSON"),
]


@pytest.mark.parametrize("line, message", LINES)
def test_lines(model, tmp_path, line, message):
    table = tmp_path / "histories.jsonl"
    table.write_text(f'{{"user_id": "b", "history": ["i1"]}}\n\n{line}\n')
    with pytest.raises(ValueError, match=f"^{table}: {message}"):
        recommend_table(model, table, tmp_path / "recs", users_per_part=1)
    assert not parts(tmp_path / "recs") and not (tmp_path / "recs/__run__/run.json").exists()
    # Corrected, the table is written to the same folder.
    table.write_text('{"user_id": "b", "history": ["i1"]}\n')
    assert recommend_table(model, table, tmp_path / "recs", users_per_part=1).new_parts == 1


COLUMNS = [
    ({"user_id": ["a", "b"]}, {}, r": missing column 'history' \(has \['user_id'\]\)"),
    ({"history": [["i1"], []]}, {}, r": missing column 'user_id'"),
    ({"user_id": ["a", "b"], "history": ["i1", "i2"]}, {}, ": column 'history' must be list<string>, is string"),
    ({"user_id": [1, 2], "history": [["i1"], []]}, {}, ": column 'user_id' must be string, is int64"),
    ({"user_id": ["a", "b"], "history": [[1], [2]]}, {}, ": column 'history' must be list<string>, is list"),
    ({"user_id": ["a", "b"], "history": [["i1"], None]}, {}, ": row 1: 'history' is null"),
    ({"user_id": ["a", None], "history": [["i1"], []]}, {}, ": row 1: 'user_id' is null"),
    ({"user_id": ["a", "b"], "history": [["i1"], [None]]}, {}, ": row 1: 'history' must hold item ids"),
    ({"user_id": ["a", "b"], "history": [["i1"], ["gone"]]}, {"strict": True}, ": row 1: 1 of 1 items in 'history'"),
    ({"user_id": ["a", "b"], "history": [["i1"], []], "query": [True, None]}, {}, ": column 'query' must be string"),
]


@pytest.mark.parametrize("columns, options, message", COLUMNS)
def test_columns(model, tmp_path, columns, options, message):
    table = tmp_path / "histories.parquet"
    pq.write_table(pa.table(columns), table)
    with pytest.raises(ValueError, match=f"^{table}{message}"):
        recommend_table(model, table, tmp_path / "recs", users_per_part=1, **options)
    assert not parts(tmp_path / "recs")


def test_text_that_is_not_utf_8(model, tmp_path):
    table = tmp_path / "histories.parquet"
    users = pa.array([b"a", b"\xff"]).view(pa.string())
    pq.write_table(pa.table({"user_id": users, "history": pa.array([[], []], LISTS)}), table)
    with pytest.raises(ValueError, match=f"^{table}: row 1: column 'user_id' is not UTF-8"):
        recommend_table(model, table, tmp_path / "recs")
    (tmp_path / "histories.jsonl").write_bytes(b'{"user_id": "\xff", "history": []}\n')
    with pytest.raises(ValueError, match="histories.jsonl: line 1: not valid JSON"):
        recommend_table(model, tmp_path / "histories.jsonl", tmp_path / "recs")


def test_a_bad_row_of_a_later_file_is_named_by_its_file(model, rows, tmp_path):
    (tmp_path / "in").mkdir()
    write_parquet(tmp_path / "in/a.parquet", rows)
    bad = write_parquet(tmp_path / "in/b.parquet", [*rows[:4], {"user_id": "a", "history": None}])
    with pytest.raises(ValueError, match=f"^{bad}: row 4: 'history' is null"):
        recommend_table(model, tmp_path / "in", tmp_path / "recs", users_per_part=20)


@pytest.mark.parametrize(
    "name, content, error, message",
    [
        ("nothing.parquet", None, FileNotFoundError, "no such file of histories"),
        ("nothing.jsonl", None, FileNotFoundError, "no such file of histories"),
        ("./not/here", None, FileNotFoundError, "no such dataset folder"),
        ("broken.parquet", b"PAR1", ValueError, "not a readable Parquet file"),
        ("histories.csv", b"a,b", ValueError, "histories are read from .parquet, .jsonl"),
        ("broken.jsonl.gz", b"no gzip", ValueError, "not a complete gzip file"),
    ],
)
def test_files(model, tmp_path, name, content, error, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        recommend_table(model, tmp_path / name, tmp_path / "recs")


def test_a_folder_without_tables(model, tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(ValueError, match="neither a dataset folder"):
        recommend_table(model, tmp_path / "in", tmp_path / "recs")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"users_per_part": 0}, "users_per_part must be at least 1"),
        ({"batch_size": -1}, "batch_size must be at least 1"),
        ({"revision": "main"}, "only Hub repositories have revisions"),
        ({"time": "noon"}, "'time' is neither a number nor an ISO time"),
        ({"exclude": ["gone"]}, "'exclude' are not in the catalogue"),
    ],
)
def test_options(model, rows, tmp_path, options, message):
    table = write_parquet(tmp_path / "histories.parquet", rows)
    with pytest.raises(ValueError, match=message):
        recommend_table(model, table, tmp_path / "recs", **options)
    assert not parts(tmp_path / "recs")


def test_another_run_in_the_folder(recommender_folders, model, rows, tmp_path):
    table, output = write_parquet(tmp_path / "histories.parquet", rows), tmp_path / "recs"
    first = {"top_k": 5, "users_per_part": 20}
    recommend_table(model, table, output, **first)
    other = write_parquet(tmp_path / "other.parquet", rows[:-1])
    tries = [
        ((recommender_folders["sasrec"], table, first), f"model: {model} .* before, .*sasrec .* now"),
        ((model, other, first), f"input: {table} .* before, {other} .* now"),
        ((model, table, {**first, "top_k": 6}), "top_k: 5 before, 6 now"),
        ((model, table, {**first, "users_per_part": 10}), "users_per_part: 20 before, 10 now"),
        ((model, table, {**first, "strict": True}), "strict: False before, True now"),
        ((model, table, {**first, "allowed": ["i1"]}), r"allowed: None before, \['i1'\] now"),
        ((model, table, {**first, "exclude": ["i1"], "time": 5}), "exclude: .*; time: .* before, 5 now"),
    ]
    for (which, source, options), message in tries:
        with pytest.raises(ValueError, match=f"^{output} holds recommendations of another run .*{message}"):
            recommend_table(which, source, output, **options)
    # The same model, table and options elsewhere and in another batch size are the same run.
    shutil.copytree(model, tmp_path / "copy")
    shutil.copy(table, tmp_path / "copy.parquet")
    done = recommend_table(tmp_path / "copy", tmp_path / "copy.parquet", output, batch_size=3, **first)
    assert done.new_parts == 0 and done.model == str(model)
    # A model that changed in its folder is another one.
    catalog = json.loads((tmp_path / "copy/item_catalog.json").read_text())
    catalog["items"][0]["title"] = "renamed"
    (tmp_path / "copy/item_catalog.json").write_text(json.dumps(catalog))
    with pytest.raises(ValueError, match="model: "):
        recommend_table(tmp_path / "copy", table, output, **first)


def test_files_of_others_in_the_folder(model, rows, tmp_path):
    table, output = write_parquet(tmp_path / "histories.parquet", rows), tmp_path / "recs"
    output.mkdir()
    shutil.copy(table, output / "part-00000.parquet")
    with pytest.raises(ValueError, match="part-00000.parquet is of no run that is recorded"):
        recommend_table(model, table, output)
    (output / "part-00000.parquet").unlink()
    recommend_table(model, table, output, users_per_part=20)
    shutil.copy(output / "part-00000.parquet", output / "part-00003.parquet")
    with pytest.raises(ValueError, match="part-00003.parquet is no part of the run"):
        recommend_table(model, table, output, users_per_part=20)
    (output / "part-00003.parquet").rename(output / "part-00002.parquet")
    with pytest.raises(ValueError, match="part-00002.parquet has 20 rows instead of 13"):
        recommend_table(model, table, output, users_per_part=20)
    (output / "part-00002.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="part-00002.parquet is damaged"):
        recommend_table(model, table, output, users_per_part=20)
    (output / "part-00002.parquet").unlink()
    assert recommend_table(model, table, output, users_per_part=20).new_parts == 1
    check(output, AutoRecommender.from_pretrained(model), rows)


def test_two_runs_do_not_write_to_one_folder(model, rows, tmp_path):
    table, output = write_parquet(tmp_path / "histories.parquet", rows), tmp_path / "recs"
    other = PartsFolder(output)
    other.lock()
    with pytest.raises(ValueError, match="another run is writing to this folder"):
        recommend_table(model, table, output)
    other.unlock()
    assert recommend_table(model, table, output).new_parts == 1


def test_the_output_is_a_file(model, rows, tmp_path):
    table = write_lines(tmp_path / "histories.jsonl", rows)
    with pytest.raises(ValueError, match="is a file: the output is a folder"):
        recommend_table(model, table, table)
