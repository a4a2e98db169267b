"""Tables of several files and in every spelling of their types; errors name the file and its own row."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.data.loading import check_table, read_folder

ITEMS = {"item_id": [*"abc"], "title": ["A", "B", "C"]}


def write(folder, name, **columns):
    path = folder / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_files_of_one_table_may_spell_types_differently(tmp_path):
    write(tmp_path, "items", **ITEMS)
    write(tmp_path, "interactions/0", user_id=["u"], item_id=["a"], timestamp=pa.array([1], pa.int32()))
    views = {"user_id": pa.array(["u"], pa.string_view()), "item_id": pa.array(["b"], pa.large_string())}
    write(tmp_path, "interactions/1", **views, timestamp=pa.array([2], pa.uint64()), rating=[5])
    dataset = RecDataset.load(tmp_path)
    assert [dataset.item_ids[i] for i in dataset.sequence(0)] == ["a", "b"] and dataset.timestamps.tolist() == [1, 2]


def test_lists_of_categories_are_joined_wherever_they_are_lists(tmp_path):
    write(tmp_path, "items/0", item_id=["a"], title=["A"], categories=[["Hair", "Comb"]])
    write(tmp_path, "items/1", item_id=["b"], title=["B"], categories=["Skin"])
    write(tmp_path, "items/2", item_id=["c"], title=["C"])
    write(tmp_path, "interactions", user_id=["u"], item_id=["a"], position=[0])
    assert RecDataset.load(tmp_path).categories == ["Hair > Comb", "Skin", ""]


def test_rows_are_those_of_their_own_file(tmp_path):
    write(tmp_path, "items", **ITEMS)
    write(tmp_path, "interactions/0", user_id=["u"] * 3, item_id=[*"abc"], position=[0, 1, 2])
    write(tmp_path, "interactions/1", user_id=["u"] * 2, item_id=[*"az"], position=[0, 1])
    with pytest.raises(ValueError, match=r"interactions/1.parquet: row 1: item 'z'"):
        RecDataset.load(tmp_path)


def test_files_must_agree_on_columns_of_numbers(tmp_path):
    write(tmp_path, "items", **ITEMS)
    write(tmp_path, "interactions/0", user_id=["u"], item_id=["a"], position=[0], timestamp=[3])
    write(tmp_path, "interactions/1", user_id=["u"], item_id=["b"], position=[1])
    with pytest.raises(ValueError, match=r"interactions/1.parquet: no column 'timestamp'"):
        RecDataset.load(tmp_path)


def test_times_beyond_64_bits_name_the_row():
    table = pa.table({"user_id": ["u"] * 2, "item_id": ["a"] * 2, "timestamp": pa.array([1, 2**64 - 1], pa.uint64())})
    with pytest.raises(ValueError, match="log: row 1: column 'timestamp': 18446744073709551615 is beyond 64 bits"):
        check_table(table, "interactions", "log")


def test_a_category_that_is_not_utf8_names_the_row():
    raw = pa.array([b"fine", b"caf\xe9"], type=pa.binary())
    words = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), words)
    table = pa.table({"item_id": ["a", "b"], "title": ["A", "B"], "categories": lists})
    with pytest.raises(ValueError, match="shop: row 1: column 'categories' is not UTF-8"):
        check_table(table, "items", "shop")


def test_a_damaged_page_names_the_file(tmp_path):
    write(tmp_path, "items", **ITEMS)
    path = tmp_path / "interactions.parquet"
    users = [str(i) for i in np.random.default_rng(0).integers(10**12, size=5000)]
    pq.write_table(pa.table({"user_id": users, "item_id": ["a"] * 5000}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[1000:9000] = b"\xff" * 8000
    path.write_bytes(content)
    with pytest.raises(ValueError, match="interactions.parquet: not a readable Parquet file"):
        read_folder(tmp_path)
