"""Tables of histories, and the answers that `Recommender.recommend` gives to the same requests."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ..conftest import NUM_ITEMS

MANY = 53


def requests_of(count: int) -> list[dict]:
    """Histories of different lengths; one is empty, and one user occurs twice."""
    rows = [
        {"user_id": f"u{number}", "history": [f"i{(number + step) % NUM_ITEMS}" for step in range(number % 7)]}
        for number in range(count)
    ]
    rows[-1]["user_id"] = "u1"
    return rows


def write_parquet(path, rows, **options):
    names = list(dict.fromkeys(name for row in rows for name in row))
    lists = pa.list_(pa.string())
    types = {"history": lists, "exclude": lists, "allowed": lists, "user_id": pa.string(), "query": pa.string()}
    columns = {name: pa.array([row.get(name) for row in rows], types.get(name)) for name in names}
    pq.write_table(pa.table(columns), path, **options)
    return path


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(folder) -> list[dict]:
    """All rows of a folder of parts, as pyarrow reads a folder."""
    return pq.read_table(folder).to_pylist()


def expected(recommender, rows, **options) -> list[tuple[str, list[str], list[float]]]:
    requests = [{name: value for name, value in row.items() if name != "user_id"} for row in rows]
    answers = recommender.recommend(requests, **options)
    return [
        (row["user_id"], [each["item_id"] for each in answer], [each["score"] for each in answer])
        for row, answer in zip(rows, answers, strict=True)
    ]


def check(folder, recommender, rows, **options) -> None:
    """What was written is what the recommender answers to each row, in the order of the rows."""
    written, wanted = read(folder), expected(recommender, rows, **options)
    assert [row["user_id"] for row in written] == [user for user, _, _ in wanted]
    for row, (_, items, scores) in zip(written, wanted, strict=True):
        assert row["item_ids"] == items
        assert row["scores"] == pytest.approx(scores, rel=1e-4, abs=1e-5)


@pytest.fixture(scope="session")
def rows() -> list[dict]:
    return requests_of(MANY)
