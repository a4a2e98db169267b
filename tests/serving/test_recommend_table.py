"""`recommend_table` writes what `recommend` answers, for every method, kind of table and option."""

import json
import logging
import time

import datasets
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from hf_llmrec import AutoRecommender, recommend_table
from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.data.item_activity import DAY, ItemActivity
from hf_llmrec.methods.popularity.recommender import PopularityRecommender

from ..data.test_time_features import NOW, made
from .conftest import check, read, requests_of, write_lines, write_parquet

METHODS = ["lcrec", "galrec", "sasrec", "lightgcn", "text_encoder", "knn", "popularity", "fusion"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("method", METHODS)
def test_every_method(recommender_folders, rows, tmp_path, method):
    folder = recommender_folders[method]
    table = write_parquet(tmp_path / "histories.parquet", rows)
    done = recommend_table(folder, table, tmp_path / "recs", top_k=5, users_per_part=20, batch_size=8)
    assert (done.num_users, done.num_parts, done.new_parts) == (len(rows), 3, 3)
    check(tmp_path / "recs", AutoRecommender.from_pretrained(folder), rows, top_k=5)
    schema = pq.read_schema(tmp_path / "recs/part-00001.parquet")
    assert [str(type_) for type_ in schema.types[:3]] == ["string", "list<element: string>", "list<element: float>"]
    assert schema.metadata[b"hf_llmrec.name"].decode() == done.model == str(folder)
    assert schema.metadata[b"hf_llmrec.revision"].decode() == done.revision
    assert schema.metadata[b"hf_llmrec.method"].decode() == method
    assert {(row["model"], row["revision"]) for row in read(tmp_path / "recs")} == {(str(folder), done.revision)}
    assert names(tmp_path / "recs") == ["__run__", *(f"part-0000{part}.parquet" for part in range(3))]


def test_the_folder_is_one_dataset_for_every_reader(recommender_folders, rows, tmp_path):
    table = write_parquet(tmp_path / "histories.parquet", rows)
    recommend_table(recommender_folders["knn"], table, tmp_path / "recs", users_per_part=20)
    (tmp_path / "recs/__run__/_part-00007.99").write_bytes(b"unfinished")
    users = [row["user_id"] for row in rows]
    assert pd.read_parquet(tmp_path / "recs")["user_id"].tolist() == users
    assert ds.dataset(tmp_path / "recs").to_table()["user_id"].to_pylist() == users
    for options in ({"path": str(tmp_path / "recs")}, {"path": "parquet", "data_dir": str(tmp_path / "recs")}):
        loaded = datasets.load_dataset(**options, split="train", cache_dir=str(tmp_path / "cache"))
        assert loaded["user_id"] == users and loaded[3]["item_ids"] == read(tmp_path / "recs")[3]["item_ids"]


def test_json_lines(recommender_folders, rows, tmp_path):
    recommender = AutoRecommender.from_pretrained(recommender_folders["sasrec"])
    table = write_lines(tmp_path / "histories.jsonl", rows)
    table.write_text("\n" + table.read_text() + "\n\n")  # empty lines are no rows
    assert recommend_table(recommender, table, tmp_path / "recs", users_per_part=10).num_parts == 6
    check(tmp_path / "recs", recommender, rows)


def test_a_folder_of_parquet_files_and_small_row_groups(recommender_folders, rows, tmp_path):
    recommender = AutoRecommender.from_pretrained(recommender_folders["sasrec"])
    (tmp_path / "in").mkdir()
    write_parquet(tmp_path / "in/a.parquet", rows[:20], row_group_size=3)
    write_parquet(tmp_path / "in/b.parquet", rows[20:])
    (tmp_path / "in/_SUCCESS.parquet").touch()
    recommend_table(recommender, tmp_path / "in", tmp_path / "recs", users_per_part=7)
    check(tmp_path / "recs", recommender, rows)


@pytest.mark.parametrize("method", ["lcrec", "sasrec", "knn", "fusion"])
def test_a_dataset_folder(recommender_folders, dataset, tmp_path, method):
    """Every interaction of a user is the history, the held-out ones, too."""
    dataset.save(tmp_path / "data")
    folder = recommender_folders[method]
    recommend_table(folder, tmp_path / "data", tmp_path / "recs", users_per_part=25)
    loaded = RecDataset.load(tmp_path / "data")
    rows = [
        {"user_id": user, "history": [loaded.item_ids[item] for item in loaded.indices[start:stop]]}
        for user, start, stop in zip(loaded.user_ids, loaded.indptr, loaded.indptr[1:], strict=False)
    ]
    assert len(rows) == 60 and {len(row["history"]) for row in rows} == {8}
    check(tmp_path / "recs", AutoRecommender.from_pretrained(folder), rows)


@pytest.mark.parametrize("write, name", [(write_parquet, "histories.parquet"), (write_lines, "histories.jsonl")])
def test_rows_with_limits_of_their_own(recommender_folders, rows, tmp_path, write, name):
    recommender = AutoRecommender.from_pretrained(recommender_folders["lcrec"])
    limited = [dict(row) for row in rows]
    for number, row in enumerate(limited):
        row |= {"exclude": [f"i{number % 24}", "i3"]} if number % 3 == 0 else {}
        row |= {"allowed": ["i1", "i2", "i3"]} if number % 4 == 0 else {}
        row |= {"query": "something red"} if number % 5 == 0 else {}
    limited[8]["allowed"] = []
    options = {"top_k": 4, "exclude": ["i2"], "allowed": [f"i{item}" for item in range(20)]}
    recommend_table(recommender, write(tmp_path / name, limited), tmp_path / "recs", users_per_part=30, **options)
    check(tmp_path / "recs", recommender, limited, **options)
    written = read(tmp_path / "recs")
    assert written[8]["item_ids"] == [] and written[4]["item_ids"] in (["i1", "i3"], ["i3", "i1"])
    assert not any("i2" in row["item_ids"] for row in written)


def test_an_empty_table(recommender_folders, tmp_path):
    table = write_lines(tmp_path / "histories.jsonl", [])
    done = recommend_table(recommender_folders["popularity"], table, tmp_path / "recs")
    assert (done.num_users, done.num_parts, done.new_parts) == (0, 1, 1)
    assert read(tmp_path / "recs") == [] and pq.read_schema(tmp_path / "recs/part-00000.parquet").names[0] == "user_id"
    assert recommend_table(recommender_folders["popularity"], table, tmp_path / "recs").new_parts == 0


def test_unknown_items_are_counted_once(recommender_folders, rows, tmp_path, caplog):
    strange = [dict(row) for row in rows]
    strange[3]["history"] = ["gone", *rows[3]["history"]]
    strange[5]["history"] = ["lost", "gone"]
    table = write_parquet(tmp_path / "histories.parquet", strange)
    with caplog.at_level(logging.WARNING, "hf_llmrec"):
        recommend_table(recommender_folders["knn"], table, tmp_path / "recs", users_per_part=20)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"{table}: 3 items in 2 histories are not in the catalogue and are skipped, such as ['gone', 'lost', 'gone']",
        # Of 53 rows every seventh has an empty history.
        f"{table}: 9 histories have no known item: the model's own answer without a history is given",
    ]
    strange[5]["history"] = []
    check(tmp_path / "recs", AutoRecommender.from_pretrained(recommender_folders["knn"]), strange)


def test_columns_that_are_left_out_are_named(recommender_folders, rows, tmp_path, caplog):
    more = [{**row, "country": "de"} for row in rows[1:3]]
    for number, table in enumerate(
        (write_parquet(tmp_path / "a.parquet", more), write_lines(tmp_path / "a.jsonl", more))
    ):
        caplog.clear()
        recommend_table(recommender_folders["knn"], table, tmp_path / f"recs{number}")
        named = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(named) == 1 and "country" in caplog.text and str(table) in caplog.text


def test_progress_is_reported(recommender_folders, rows, tmp_path):
    seen = []
    table = write_parquet(tmp_path / "histories.parquet", rows)
    recommend_table(
        recommender_folders["knn"],
        table,
        tmp_path / "recs",
        users_per_part=20,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(20, 53), (40, 53), (53, 53)]


def timed_dataset() -> RecDataset:
    days = [(user, step, NOW - (9 - step) * DAY) for user in range(8) for step in range(1 + user % 4)]
    log = {
        "user_id": [f"u{user}" for user, _, _ in days],
        "item_id": [f"i{(user + step) % 5}" for user, step, _ in days],
        "timestamp": [time for _, _, time in days],
    }
    ids = [f"i{item}" for item in range(5)]
    return RecDataset.from_datasets(log, {"item_id": ids, "title": ids}, time_unit="s")


@pytest.fixture
def timed():
    """A recommender with time features, and its dataset."""
    dataset = timed_dataset()
    split = dataset.split()
    recommender = PopularityRecommender.fit(dataset, split)
    recommender.time_features = made(ItemActivity.from_split(split, 5))
    return recommender, dataset


@pytest.mark.parametrize("write, name", [(write_parquet, "histories.parquet"), (write_lines, "histories.jsonl")])
def test_requests_have_times(timed, tmp_path, write, name):
    """At the time of the row, else at that of the option; all others at the time when the run began."""
    recommender, _ = timed
    rows = [{"user_id": f"u{number}", "history": ["i1"]} for number in range(6)]
    some = [{**row, "time": "2023-10-20T12:00:00+00:00", "last_time": "2023-10-01"} for row in rows[:3]] + rows[3:]
    table = write(tmp_path / name, some)
    recommend_table(recommender, table, tmp_path / "recs", time="2023-11-11")
    check(tmp_path / "recs", recommender, [{"time": "2023-11-11", **row} for row in some])
    assert read(tmp_path / "recs")[0]["scores"] != read(tmp_path / "recs")[3]["scores"]
    recommend_table(recommender, table, tmp_path / "now", users_per_part=2)
    began = json.loads((tmp_path / "now/__run__/run.json").read_text())["options"]["time"]
    assert abs(began - time.time()) < 600
    check(tmp_path / "now", recommender, [{"time": began, **row} for row in some])
    # Continued later: at the time when the run began.
    (tmp_path / "now/part-00002.parquet").unlink()
    assert recommend_table(recommender, table, tmp_path / "now", users_per_part=2).new_parts == 1
    check(tmp_path / "now", recommender, [{"time": began, **row} for row in some])


def test_a_dataset_gives_the_time_of_the_last_interaction(timed, tmp_path):
    recommender, dataset = timed
    dataset.save(tmp_path / "data")
    recommend_table(recommender, tmp_path / "data", tmp_path / "recs", time=NOW)
    rows = [
        {
            "user_id": f"u{user}",
            "history": [f"i{(user + step) % 5}" for step in range(1 + user % 4)],
            "time": NOW,
            "last_time": NOW - (9 - user % 4) * DAY,
        }
        for user in range(8)
    ]
    check(tmp_path / "recs", recommender, rows)


def test_a_long_list_has_the_catalogue(recommender_folders, tmp_path):
    table = write_lines(tmp_path / "histories.jsonl", requests_of(3))
    for method in ("lcrec", "sasrec"):
        recommend_table(recommender_folders[method], table, tmp_path / method, top_k=50)
        assert [len(row["item_ids"]) for row in read(tmp_path / method)] == [24] * 3
