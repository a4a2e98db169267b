"""Memory does not grow with the number of users, also where a file is one row group."""

import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

USERS, LENGTH = 60_000, 20
PROGRAM = """
import resource, sys, json
from hf_llmrec import recommend_table
def peak(table, output):
    done = recommend_table(sys.argv[1], table, output, users_per_part=3_000)
    return done.num_users, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([peak(*sys.argv[2:4]), peak(*sys.argv[4:6])]))
"""


def write(path, users: int) -> None:
    # Long ids, each of its own: held in memory, the table would be some 150 MB of strings.
    histories = [
        [f"i{number % 24}", *(f"{'unknown' * 6}{number}-{n}" for n in range(LENGTH))] for number in range(users)
    ]
    names = [f"u{number}" for number in range(users)]
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"user_id": names, "history": histories}), path, row_group_size=users)
    else:
        lines = (json.dumps({"user_id": u, "history": h}) for u, h in zip(names, histories, strict=True))
        path.write_text("\n".join(lines))


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_memory_does_not_grow_with_the_users(recommender_folders, tmp_path, suffix):
    small, large = tmp_path / f"small{suffix}", tmp_path / f"large{suffix}"
    write(small, 6_000)
    write(large, USERS)
    words = [recommender_folders["popularity"], small, tmp_path / "a", large, tmp_path / "b"]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    (few, before), (many, after) = json.loads(done.stdout)
    assert (few, many) == (6_000, USERS)
    assert after - before < 25, f"{before:.0f} MB for {few} users, {after:.0f} MB for {many}"
