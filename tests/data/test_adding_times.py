"""Adding times to a dataset that has positions: the order of interactions stays."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_llmrec.cli import main
from hf_llmrec.data.adding_times import add_times_to_folder, add_timestamps
from hf_llmrec.data.interactions import RecDataset

DAY = 86_400
LOG = {"user_id": [*"aaabbb"], "item_id": [*"xyzxzy"], "position": [0, 1, 2, 0, 1, 2]}
TIMES = [day * DAY + 1_400_000_000 // DAY * DAY for day in (1, 1, 1, 2, 3, 4)]


@pytest.fixture
def dataset():
    return RecDataset.from_datasets(LOG, {"item_id": [*"xyz"], "title": [*"xyz"]}, name="shop")


def times(**changes):
    return pa.table({**LOG, "timestamp": TIMES, **changes})


def test_the_order_stays_that_of_the_positions(dataset):
    shuffled = times().take(pa.array([3, 5, 0, 2, 1, 4]))
    timed = add_timestamps(dataset, shuffled)
    np.testing.assert_array_equal(timed.indices, dataset.indices)  # three interactions of `a` are of one day
    np.testing.assert_array_equal(timed.timestamps, TIMES)
    assert timed.fingerprint == dataset.fingerprint and timed.name == "shop"
    assert timed.data_fingerprint(timed.split()) == dataset.data_fingerprint(dataset.split())


def test_by_command(dataset, tmp_path, capsys):
    dataset.save(tmp_path / "data")
    pq.write_table(times(), tmp_path / "times.parquet")
    places = ["--dataset", str(tmp_path / "data"), "--times", str(tmp_path / "times.parquet")]
    assert main(["convert", "times", *places, "--output_dir", str(tmp_path / "timed")]) == 0
    assert "6 interactions from 2014-05-14 to 2014-05-17" in capsys.readouterr().out
    np.testing.assert_array_equal(RecDataset.load(tmp_path / "timed").timestamps, TIMES)


@pytest.mark.parametrize(
    "table, words",
    [
        (times().drop_columns("timestamp"), "no column 'timestamp'"),
        (times().slice(1), "user 'a', item 'x', position 0 has no time"),
        (pa.concat_tables([times(), times().slice(4, 1)]), "row 6: user 'b', item 'z', position 1 has several times"),
        (times(position=[0, 1, 2, 0, 1, 9]), "user 'b', item 'y', position 2 has no time"),
        (times(timestamp=TIMES[::-1]), "times of user 'a' contradict"),
    ],
)
def test_refused(dataset, table, words):
    with pytest.raises(ValueError, match=words):
        add_timestamps(dataset, table)


def test_times_of_another_type_and_the_same_folder(dataset, tmp_path):
    stamps = pa.array([np.datetime64(time, "s") for time in TIMES])
    timed = add_timestamps(dataset, times(timestamp=stamps))
    np.testing.assert_array_equal(timed.timestamps, TIMES)
    numbers = {"user_id": [1] * 3 + [2] * 3, "item_id": LOG["item_id"], "position": LOG["position"]}
    texts = {**numbers, "user_id": [str(user) for user in numbers["user_id"]]}
    titles = {"item_id": [*"xyz"], "title": [*"xyz"]}
    numbered = RecDataset.from_datasets(texts, titles)
    assert add_timestamps(numbered, pa.table({**numbers, "timestamp": TIMES})).timestamps.tolist() == TIMES
    dataset.save(tmp_path)
    pq.write_table(times(), tmp_path / "times.parquet")
    with pytest.raises(ValueError, match="choose another folder"):
        add_times_to_folder(tmp_path, tmp_path / "times.parquet", tmp_path)
