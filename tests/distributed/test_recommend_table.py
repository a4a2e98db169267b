"""`accelerate launch recipes/recommend.py` in two processes, whole and killed: the parts of one process."""

import subprocess
import sys
import time

import psutil
import pyarrow.parquet as pq
import pytest

from hf_llmrec import recommend_table

from .conftest import ROOT, Recipe

pytestmark = [pytest.mark.slow, pytest.mark.ci]
PARTS = 40


def command(model, table, output, launcher=()) -> list[str]:
    words = [str(model), "--input", str(table), "--output", str(output), "--users_per_part", "10"]
    return [sys.executable, *launcher, str(ROOT / "recipes/recommend.py"), *words]


@pytest.fixture
def table(tmp_path):
    rows = [{"user_id": f"u{user}", "history": [f"i{(user + step) % 24}" for step in range(3)]} for user in range(397)]
    lines = [f'{{"user_id": "{row["user_id"]}", "history": {row["history"]}}}'.replace("'", '"') for row in rows]
    (tmp_path / "histories.jsonl").write_text("\n".join(lines))
    return tmp_path / "histories.jsonl"


def test_two_processes_share_the_parts_and_are_killed(recommender_folders, table, ddp, tmp_path):
    model, output = recommender_folders["lcrec"], tmp_path / "recs"
    environment = Recipe(tmp_path).environment()
    process = subprocess.Popen(command(model, table, output, ddp), env=environment, start_new_session=True)
    deadline = time.monotonic() + 300
    while len(done := list(output.glob("part-*"))) < 6:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        each.kill()
    process.wait()
    # Both halves were begun.
    numbers = [int(path.stem.removeprefix("part-")) for path in done]
    assert min(numbers) < PARTS // 2 <= max(numbers)
    moments = {path: path.stat().st_mtime_ns for path in output.glob("part-*")}
    assert len(moments) < PARTS
    for state in (f"{PARTS} parts ({PARTS - len(moments)} new)", "complete before, nothing to do"):
        again = subprocess.run(
            command(model, table, output, ddp), env=environment, capture_output=True, text=True, timeout=300
        )
        assert again.returncode == 0, again.stderr[-4000:]
        assert again.stdout.count("397 users") == 1 and state in again.stdout
    assert all(path.stat().st_mtime_ns == moment for path, moment in moments.items())
    recommend_table(model, table, tmp_path / "one", users_per_part=10)
    two, one = pq.read_table(output), pq.read_table(tmp_path / "one")
    assert two["user_id"].equals(one["user_id"]) and two["item_ids"].equals(one["item_ids"])
    for left, right in zip(two["scores"].to_pylist(), one["scores"].to_pylist(), strict=True):
        assert left == pytest.approx(right, rel=1e-4)


def test_an_error_ends_both(recommender_folders, table, ddp, tmp_path):
    table.write_text(f'{table.read_text()}\n{{"user_id": "last", "history": null}}\n')
    words = command(recommender_folders["knn"], table, tmp_path / "recs", ddp)
    done = subprocess.run(words, env=Recipe(tmp_path).environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert f"hf-llmrec recommend: {table}: line 398: 'history' is null" in done.stderr
    assert not list((tmp_path / "recs").glob("part-*"))
