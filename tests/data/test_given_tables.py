"""Tables as people have them: streamed, as records, empty; times in any unit; columns that must not get lost."""

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.data.time_units import detect_unit, to_seconds

LOG = {"user_id": ["ann", "ann", "bob", "ann"], "item_id": [*"yzxx"], "timestamp": [2, 3, 5, 1]}
ITEMS = {"item_id": [*"xyz"], "title": [*"XYZ"]}
TABLE = Dataset.from_dict(LOG)
START = 1_600_000_000


def sequences(dataset):
    return {
        user: [dataset.item_ids[row] for row in dataset.sequence(number)]
        for number, user in enumerate(dataset.user_ids)
    }


@pytest.mark.parametrize(
    "given",
    [
        TABLE,
        TABLE.to_iterable_dataset(),
        TABLE.to_list(),
        tuple(TABLE.to_list()),
        DatasetDict({"train": TABLE}),
        pa.table(LOG),
        pd.DataFrame(LOG),
        LOG,
    ],
    ids=["dataset", "streamed", "records", "tuple", "one split", "pyarrow", "pandas", "columns"],
)
def test_interactions_are_taken_in_every_form(given):
    dataset = RecDataset.from_datasets(given, ITEMS)
    assert sequences(dataset) == {"ann": [*"xyz"], "bob": ["x"]} and dataset.timestamps.tolist() == [1, 2, 3, 5]


def test_records_may_lack_what_is_optional():
    items = [
        {"item_id": "x", "title": "X"},
        {"item_id": "y", "title": "Y", "brand": "B"},
        {"item_id": "z", "title": ""},
    ]
    assert RecDataset.from_datasets(LOG, items).brands == ["", "B", ""]


@pytest.mark.parametrize(
    "given, error, message",
    [
        (TABLE.filter(lambda row: False), ValueError, "interactions: there is no row"),
        ([], ValueError, "interactions: missing column 'user_id'"),
        ({name: [] for name in LOG}, ValueError, "interactions: there is no row"),
        (pa.table(LOG)[:0], ValueError, "interactions: there is no row"),
        (
            DatasetDict({"train": TABLE, "test": TABLE}),
            ValueError,
            r"interactions: .*splits \['train', 'test'\]: choose",
        ),
        ({**LOG, "item_id": ["x"]}, ValueError, "interactions: not a table"),
        ([*TABLE.to_list(), ("ann", "x", 3)], TypeError, "interactions: row 4 is a tuple, not a record"),
        ([{**TABLE[0], "user_id": 7}, TABLE[1]], ValueError, "interactions: not a table"),
        ("log.csv", TypeError, "interactions: cannot read a str: give a datasets.Dataset"),
        (iter(TABLE), TypeError, "interactions: cannot read a .*: give a datasets.Dataset"),
    ],
)
def test_what_cannot_be_taken_names_the_table(given, error, message):
    with pytest.raises(error, match=message):
        RecDataset.from_datasets(given, ITEMS)


def test_folders_without_a_row_are_refused(tmp_path):
    pq.write_table(pa.table(LOG)[:0], tmp_path / "interactions.parquet")
    pq.write_table(pa.table(ITEMS), tmp_path / "items.parquet")
    with pytest.raises(ValueError, match="interactions.parquet: there is no row"):
        RecDataset.load(tmp_path)


# -- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor, unit", [(1, "s"), (10**3, "ms"), (10**6, "us"), (10**9, "ns")])
@pytest.mark.parametrize("stated", [False, True])
def test_times_of_any_unit_are_stored_as_seconds(tmp_path, factor, unit, stated):
    log = {**LOG, "timestamp": [(START + n) * factor for n in (2, 3, 5, 1)]}
    dataset = RecDataset.from_datasets(log, ITEMS, time_unit=unit if stated else None)
    assert dataset.timestamps.tolist() == [START + n for n in (1, 2, 3, 5)]
    pq.write_table(pa.table(log), tmp_path / "interactions.parquet")
    pq.write_table(pa.table(ITEMS), tmp_path / "items.parquet")
    loaded = RecDataset.load(tmp_path, time_unit=unit if stated else None)
    loaded.save(tmp_path / "saved")
    assert (
        pq.read_table(tmp_path / "saved/interactions.parquet")["timestamp"].to_pylist() == dataset.timestamps.tolist()
    )


def test_days_are_days():
    """From 1980 on: of 2020, 18,518 days; as seconds all of them would lie in one morning of 1970."""
    dataset = RecDataset.from_datasets({**LOG, "timestamp": [18_519, 18_520, 18_530, 18_518]}, ITEMS)
    assert dataset.timestamps.tolist() == [86_400 * day for day in (18_518, 18_519, 18_520, 18_530)]
    assert np.datetime64(int(dataset.timestamps[0]), "s") == np.datetime64("2020-09-13")
    stated = RecDataset.from_datasets({**LOG, "timestamp": [9_000, 9_001, 9_002, 8_999]}, ITEMS, time_unit="s")
    assert stated.timestamps.tolist() == [8_999, 9_000, 9_001, 9_002]


def test_columns_of_a_time_type_know_their_unit():
    moments = [datetime.datetime(2020, 9, 13, 12, 26, second, tzinfo=datetime.UTC) for second in (42, 43, 45, 41)]
    for times in (
        pa.array(moments, pa.timestamp("ms", tz="UTC")),
        pa.array(moments, pa.timestamp("ns", tz="Asia/Tokyo")),
        pa.array([moment.replace(tzinfo=None) for moment in moments], pa.timestamp("s")),
    ):
        dataset = RecDataset.from_datasets(pa.table({**LOG, "timestamp": times}), ITEMS)
        assert dataset.timestamps.tolist() == [START + n for n in (1, 2, 3, 5)]
    frame = pd.DataFrame({**LOG, "timestamp": pd.to_datetime([f"1970-01-0{day}" for day in (2, 3, 5, 1)])})
    assert RecDataset.from_datasets(frame, ITEMS).timestamps.tolist() == [86_400 * day for day in (0, 1, 2, 4)]
    dates = pa.array([datetime.date(2020, 9, day) for day in (14, 15, 17, 13)])
    dataset = RecDataset.from_datasets(pa.table({**LOG, "timestamp": dates}), ITEMS)
    assert dataset.timestamps[0] == 18_518 * 86_400


def test_the_order_is_that_of_the_finer_unit():
    """Three interactions within one second."""
    log = {"user_id": ["ann"] * 3, "item_id": [*"zyx"], "timestamp": [START * 1000 + n for n in (900, 500, 100)]}
    dataset = RecDataset.from_datasets(log, ITEMS)
    assert sequences(dataset) == {"ann": [*"xyz"]} and set(dataset.timestamps) == {START}


def test_magnitudes_that_do_not_fit_name_their_rows():
    with pytest.raises(
        ValueError, match=rf"interactions: .*row 1 \({START}000\) looks like milliseconds, row 2 .*seconds"
    ):
        RecDataset.from_datasets({**LOG, "timestamp": [0, START * 1000, START, START * 1000]}, ITEMS)
    with pytest.raises(ValueError, match=r"time_unit must be one of \['D', 'ms', 'ns', 's', 'us'\], got 'hours'"):
        RecDataset.from_datasets(LOG, ITEMS, time_unit="hours")


def test_reviews_and_intentions_are_compared_in_the_same_unit():
    """Reviews in seconds beside interactions in milliseconds; small counts are left alone in both."""
    text = {"user_id": ["ann"], "item_id": ["x"], "text": ["so nice"]}
    log = {**LOG, "timestamp": [(START + n) * 1000 for n in (2, 3, 5, 1)]}
    dataset = RecDataset.from_datasets(log, ITEMS, reviews={**text, "timestamp": [START + 1]})
    assert dataset.reviews["timestamp"].to_pylist() == [START + 1] == dataset.timestamps[:1].tolist()
    dataset = RecDataset.from_datasets(LOG, ITEMS, intentions={**text, "timestamp": [(START + 1) * 1000]})
    assert dataset.intentions["timestamp"].to_pylist() == [START + 1]
    counts = {**LOG, "timestamp": [4_000, 5_000, 9_000, 3_900]}
    dataset = RecDataset.from_datasets(counts, ITEMS, reviews={**text, "timestamp": [100]})
    assert dataset.timestamps.tolist() == [3_900, 4_000, 5_000, 9_000]
    assert dataset.reviews["timestamp"].to_pylist() == [100]


def test_units_are_told_by_magnitude():
    for times, unit in (
        ([], "s"),
        ([0, 5], "s"),
        ([-(10**9), START], "s"),
        ([3_651, 20_000], "s"),
        ([3_652, 47_482], "D"),
        ([0, START * 1000], "ms"),
        ([-(2**63), 2**62], "ns"),
    ):
        assert detect_unit(np.array(times, dtype=np.int64), "log") == unit
    assert to_seconds(np.array([-1, 999, 1000]), "ms").tolist() == [-1, 0, 1]


# -- columns ----------------------------------------------------------------------------------------------------------


def test_positions_order_equal_times_and_are_kept(tmp_path):
    log = {"user_id": ["ann"] * 4, "item_id": [*"zyxz"], "timestamp": [86_400] * 3 + [0], "position": [2, 1, 0, 9]}
    dataset = RecDataset.from_datasets(log, ITEMS)
    assert sequences(dataset) == {"ann": [*"zxyz"]}
    # Time comes first; that a position says otherwise is counted.
    assert dataset.notes["positions_against_time"] == 1 and dataset.notes["time_ties"] == 0
    dataset.save(tmp_path)
    saved = pq.read_table(tmp_path / "interactions.parquet")
    assert saved["position"].to_pylist() == [9, 0, 1, 2] and saved["timestamp"].to_pylist() == [0, *[86_400] * 3]
    assert RecDataset.load(tmp_path).fingerprint == dataset.fingerprint


def test_ratings_are_kept_by_save_and_k_core(tmp_path):
    log = {**LOG, "rating": [5.0, None, 3.0, 1.0]}
    dataset = RecDataset.from_datasets(log, ITEMS)
    assert dataset.ratings.tolist()[:2] == [1.0, 5.0] and np.isnan(dataset.ratings[2]) and dataset.ratings[3] == 3.0
    dataset.save(tmp_path)
    saved = pq.read_table(tmp_path / "interactions.parquet")
    assert saved["rating"].to_pylist() == [1.0, 5.0, None, 3.0] and saved["item_id"].to_pylist() == [*"xyzx"]
    whole = RecDataset.from_datasets({**log, "user_id": ["ann", "ann", "bob", "ann"]}, ITEMS).k_core(1)
    assert np.array_equal(whole.ratings, dataset.ratings, equal_nan=True)
    assert RecDataset.from_datasets(LOG, ITEMS).ratings is None


def test_columns_that_are_left_out_are_named(caplog):
    RecDataset.from_datasets({**LOG, "session": [1, 1, 1, 2]}, {**ITEMS, "price": [1, 2, 3]})
    assert "interactions: columns that are not of the layout are left out: session" in caplog.text
    assert "items: columns that are not of the layout are left out: price" in caplog.text
    caplog.clear()
    RecDataset.from_datasets(LOG, ITEMS)
    assert not caplog.records


def test_frames_with_other_names():
    log = pd.DataFrame(
        {"customer": ["b", "a", "a"], "sku": ["007", "7", "007"], "at": pd.to_datetime([3, 2, 1], unit="D")}
    )
    shelf = pd.DataFrame({"sku": ["7", "007"], "label": ["Seven", "Bond"], "shelf": [1, 2]})
    names = {"customer": "user_id", "sku": "item_id", "at": "timestamp", "label": "title"}
    dataset = RecDataset.from_pandas(log, shelf, columns=names, name="shop")
    assert (dataset.name, dataset.user_ids, dataset.item_ids) == ("shop", ["b", "a"], ["7", "007"])
    assert dataset.titles == ["Seven", "Bond"] and dataset.sequence(1).tolist() == [1, 0]
    assert dataset.timestamps.tolist() == [3 * 86400, 86400, 2 * 86400]
    assert list(log) == ["customer", "sku", "at"], "the frame stays as it is"
    with pytest.raises(ValueError, match=r"columns: no frame has \['label'\].*'customer'"):
        RecDataset.from_pandas(log, columns=names)
    del names["label"]
    alone = RecDataset.from_pandas(log, columns=names)
    assert alone.item_ids == ["007", "7"] and alone.titles == ["007", "7"]
    with pytest.raises(ValueError, match="user_id"):
        RecDataset.from_pandas(log, columns={"sku": "item_id"})
