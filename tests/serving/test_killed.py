"""A run in a process of its own, killed with SIGKILL and started again: nothing is lost, doubled or done twice."""

import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from hf_llmrec import AutoRecommender, recommend_table
from hf_llmrec.cli import main

from .conftest import check, read, requests_of, write_parquet

USERS = 600
# The process reads the model, ranks and writes as always, a little slower after each batch.
PROGRAM = """
import sys, time
from hf_llmrec.cli import main
from hf_llmrec.serving.recommendation_batches import RecommendationBatches
batch = RecommendationBatches.batch
def slow_batch(*arguments):
    time.sleep(0.05)
    return batch(*arguments)
RecommendationBatches.batch = slow_batch
sys.exit(main(["recommend", *sys.argv[1:]]))
"""


def state(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*.parquet")}


def kill_after(parts: int, process: subprocess.Popen, output) -> None:
    """Kill the process while it writes a part, once so many are complete."""
    deadline = time.monotonic() + 240
    while len(state(output)) < parts or not list((output / "__run__").glob("_part-*")):
        assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.wait()


@pytest.mark.parametrize("method", ["sasrec"])
def test_killed_and_started_again(recommender_folders, tmp_path, capsys, method):
    rows, model, output = requests_of(USERS), str(recommender_folders[method]), tmp_path / "recs"
    table = write_parquet(tmp_path / "histories.parquet", rows)
    words = [model, "--input", str(table), "--output", str(output), "--users_per_part", "10", "--top_k", "5"]
    command = [sys.executable, "-c", PROGRAM, *words]
    for parts in (2, 5):  # killed twice
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        kill_after(parts, process, output)
    before = state(output)
    assert 5 <= len(before) < 60
    # What is complete can be read: the first users, each once.
    assert [row["user_id"] for row in read(output)] == [row["user_id"] for row in rows[: 10 * len(before)]]
    assert main(["recommend", *words]) == 0
    assert f"60 parts ({60 - len(before)} new)" in capsys.readouterr().out
    after = state(output)
    assert len(after) == 60 and all(after[name] == moment for name, moment in before.items())
    assert not list((output / "__run__").glob("_part-*"))
    check(output, AutoRecommender.from_pretrained(model), rows, top_k=5)
    recommend_table(model, table, tmp_path / "whole", users_per_part=10, top_k=5)
    assert pq.read_table(output).equals(pq.read_table(tmp_path / "whole"))
    # Complete: nothing is done.
    assert main(["recommend", *words]) == 0
    assert "60 parts (complete before, nothing to do)" in capsys.readouterr().out
    assert state(output) == after
    assert main(["recommend", *words, "--strict"]) == 1
    assert "strict: False before, True now" in capsys.readouterr().err


def test_a_part_that_fails_leaves_nothing(recommender_folders, tmp_path, monkeypatch):
    """A full disk, say: parts before it stay, and the run goes on where it stopped."""
    rows, output = requests_of(40), tmp_path / "recs"
    table = write_parquet(tmp_path / "histories.parquet", rows)
    write_table = pq.ParquetWriter.write_table
    calls = []

    def full(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return write_table(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(OSError, match="No space left"):
            recommend_table(recommender_folders["knn"], table, output, users_per_part=10)
    assert len(state(output)) == 2 and not list((output / "__run__").glob("_part-*"))
    assert recommend_table(recommender_folders["knn"], table, output, users_per_part=10).new_parts == 2
    check(output, AutoRecommender.from_pretrained(recommender_folders["knn"]), rows)
