import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, load_dataset

from hf_llmrec.data.interactions import RecDataset

ITEMS = {"item_id": ["a", "b", "c", "d"], "title": ["A", "B", "", None], "brand": ["", "", "Brand C", None]}
LOG = {
    "user_id": ["u", "v", "u", "u", "u", "v", "w"],
    "item_id": ["b", "a", "a", "c", "d", "b", "a"],
    "timestamp": [30, 5, 10, 20, 30, 6, 1],
}


def write(folder: Path, interactions=LOG, items=ITEMS, **tables) -> Path:
    for name, columns in {"interactions": interactions, "items": items, **tables}.items():
        pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), folder / f"{name}.parquet")
    return folder


def test_sequences_are_in_time_order_and_ties_keep_the_file_order(tmp_path):
    dataset = RecDataset.load(write(tmp_path))
    assert dataset.user_ids == ["u", "v", "w"]
    assert [dataset.item_ids[i] for i in dataset.sequence(0)] == ["a", "c", "b", "d"]
    assert dataset.indptr.dtype == dataset.indices.dtype == np.int32
    assert dataset.timestamps.tolist() == [10, 20, 30, 30, 5, 6, 1]


def test_oddities_are_accepted_and_counted(tmp_path):
    log = {name: [*values, values[1]] for name, values in LOG.items()}  # v, a, 5 a second time
    dataset = RecDataset.load(write(tmp_path, log))
    assert dataset.titles == ["A", "B", "Brand C", "d"]
    assert dataset.notes == {
        "time_ties": 2,
        "repeated_pairs": 1,
        "positions_against_time": 0,
        "empty_titles": 2,
        "users_under_three": 1,
    }


def test_save_and_load_round_trip_also_with_datasets(tmp_path):
    dataset = RecDataset.load(write(tmp_path))
    dataset.save(tmp_path / "copy")
    again = RecDataset.load(tmp_path / "copy")
    assert again.fingerprint == dataset.fingerprint and again.titles == dataset.titles
    assert np.array_equal(again.indices, dataset.indices) and np.array_equal(again.indptr, dataset.indptr)
    loaded = load_dataset(str(tmp_path / "copy"), "interactions", split="train")
    assert loaded.num_rows == 7 and set(loaded.column_names) == {"user_id", "item_id", "timestamp"}
    built = RecDataset.from_datasets(loaded, Dataset.from_dict(ITEMS))
    assert built.fingerprint == dataset.fingerprint


def replaced(columns, **changes):
    return {name: changes.get(name, values) for name, values in columns.items() if changes.get(name, 1) is not None}


@pytest.mark.parametrize(
    "interactions, items, message",
    [
        (replaced(LOG, user_id=None), ITEMS, r"interactions.parquet: missing column 'user_id'"),
        (replaced(LOG, timestamp=None), ITEMS, r"interactions.parquet: needs a column 'timestamp' or 'position'"),
        (replaced(LOG, item_id=["b", None, *"acdba"]), ITEMS, r"interactions.parquet: row 1: column 'item_id' is null"),
        (
            replaced(LOG, item_id=[*"bazcdba"]),
            ITEMS,
            r"interactions.parquet: row 2: item 'z' is not in .*items.parquet",
        ),
        (replaced(LOG, user_id=list(range(7))), ITEMS, r"interactions.parquet: column 'user_id' must be string"),
        (replaced(LOG, timestamp=[0.5] * 7), ITEMS, r"column 'timestamp' must be integer"),
        (
            LOG,
            replaced(ITEMS, item_id=[*"aaab"]),
            r"column 'item_id': 'a' occurs more than once \(.*items.parquet: row 0, .*items.parquet: row 1,",
        ),
        (LOG, replaced(ITEMS, title=None), r"items.parquet: missing column 'title'"),
    ],
)
def test_bad_tables_name_file_row_and_column(tmp_path, interactions, items, message):
    with pytest.raises(ValueError, match=message):
        RecDataset.load(write(tmp_path, interactions, items))


def test_text_that_is_not_utf8_names_the_row(tmp_path):
    raw = pa.array([b"fine", b"caf\xe9", b"", b"x"], type=pa.binary())
    titles = pa.Array.from_buffers(pa.string(), 4, raw.buffers())
    items = pa.table({"item_id": ["a", "b", "c", "d"], "title": titles})
    with pytest.raises(ValueError, match=r"items.parquet: row 1: column 'title' is not UTF-8"):
        RecDataset.load(write(tmp_path, items=items))


def test_extra_tables_must_know_their_users_and_items(tmp_path):
    bad = {"user_id": ["u", "nobody"], "item_id": ["a", "a"], "text": ["x", "y"]}
    with pytest.raises(ValueError, match=r"intentions.parquet: row 1: column 'user_id': 'nobody' is unknown"):
        RecDataset.load(write(tmp_path, intentions=bad))


def test_a_folder_without_items_and_a_missing_folder(tmp_path):
    pq.write_table(pa.table(LOG), tmp_path / "interactions.parquet")
    with pytest.raises(FileNotFoundError, match="no items.parquet"):
        RecDataset.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such dataset folder"):
        RecDataset.load(tmp_path / "nothing")


def test_k_core_is_iterative(tmp_path):
    # d is bought once; without it u keeps a, b, c; c then has one buyer; and so on down to users u, v and items a, b.
    dataset = RecDataset.load(write(tmp_path), k_core=2)
    assert dataset.user_ids == ["u", "v"] and dataset.item_ids == ["a", "b"]
    assert [dataset.item_ids[i] for i in dataset.sequence(0)] == ["a", "b"]
    with pytest.raises(ValueError, match="5-core"):
        dataset.k_core(5)


def test_leave_one_out(tmp_path):
    dataset = RecDataset.load(write(tmp_path))
    split = dataset.split()
    names = dataset.item_ids
    assert [names[i] for i in split.train_sequence(0)] == ["a", "c"]
    assert [names[i] for i in split.train_sequence(1)] == ["a", "b"]  # two interactions: trains only
    assert (len(split.validation), len(split.test), split.train_only_users) == (1, 1, 2)
    assert names[split.validation.targets[0]] == "b" and names[split.test.targets[0]] == "d"
    assert [names[i] for i in split.test.histories[0]] == ["a", "c", "b"]


def test_temporal_holds_out_periods(tmp_path):
    rng = np.random.default_rng(0)
    log = {
        "user_id": [f"u{i}" for i in rng.integers(20, size=400)],
        "item_id": [f"{x}" for x in rng.choice(list("abcd"), 400)],
        "timestamp": rng.integers(1000, size=400),
    }
    dataset = RecDataset.load(write(tmp_path, log))
    split = dataset.split("temporal")
    assert 300 < len(split.train_indices) < 340 and len(split.test) > 10
    for cases in (split.validation, split.test):
        for number, user in enumerate(cases.user_rows):
            history = cases.histories[number]
            sequence = dataset.sequence(user)
            assert len(history) and np.array_equal(sequence[: len(history)], history)
            assert sequence[len(history)] == cases.targets[number]
            assert len(history) >= len(split.train_sequence(user))


def test_temporal_needs_timestamps(tmp_path):
    log = {"user_id": ["u"] * 3, "item_id": ["a"] * 3, "position": [0, 1, 2]}
    dataset = RecDataset.load(write(tmp_path, log))
    with pytest.raises(ValueError, match="timestamp"):
        dataset.split("temporal")


def test_samples_of_cases_are_in_order_and_fixed(dataset):
    cases = dataset.split().test
    sample = cases.sample(10, seed=1)
    assert len(sample) == 10 and (np.diff(sample.user_rows) > 0).all()
    assert np.array_equal(sample.targets, cases.sample(10, seed=1).targets)
    assert np.array_equal(sample.histories[3], cases.histories[int(sample.user_rows[3])])


@pytest.mark.realdata
def test_amazon_beauty():
    dataset = RecDataset.load(Path(os.environ["HF_LLMREC_DATA"]) / "amazon-beauty-2014")
    assert (dataset.num_users, dataset.num_items, dataset.num_interactions) == (22_363, 12_101, 198_502)
    assert dataset.notes["empty_titles"] == 7 and all(dataset.titles)
    assert len(dataset.split().test) == 22_363
