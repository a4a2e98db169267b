"""`recommend_table` with a model of the Hub: its revision is the commit, and another commit is another model."""

import json

import pyarrow.parquet as pq

from hf_llmrec import AutoRecommender

from .server import run

CODE = """
import json, sys
from hf_llmrec import recommend_table
table, output, revision = sys.argv[1:]
before = recommend_table("me/fusion-ring", table, output, users_per_part=4)
again = recommend_table("me/fusion-ring", table, output, users_per_part=4, revision=before.revision)
try:
    refused = recommend_table("me/fusion-ring", table, output, users_per_part=4, revision=revision) and ""
except ValueError as error:
    refused = str(error)
print(json.dumps([before.model, before.revision, before.new_parts, again.new_parts, refused]))
"""


def test_a_model_of_the_hub(hub, home, recommender_folders, tmp_path):
    hub.add_folder("models", "me/fusion-ring", recommender_folders["fusion"])
    repo = hub.repos["models", "me/fusion-ring"]
    old = repo.resolve("main")
    repo.branches["next"] = old
    new = repo.commit({"README.md": b"changed"}, "next")
    table, output = tmp_path / "histories.jsonl", tmp_path / "recs"
    histories = [[f"i{number}", f"i{number + 1}"] for number in range(10)]
    table.write_text("".join(json.dumps({"user_id": "u", "history": history}) + "\n" for history in histories))
    name, revision, first, second, refused = json.loads(run(hub, home, CODE, str(table), str(output), "next"))
    assert (name, revision, first, second) == ("me/fusion-ring", old, 3, 0)
    assert f"model: me/fusion-ring (revision {old[:19]}) before, me/fusion-ring (revision {new[:19]}) now" in refused
    answers = AutoRecommender.from_pretrained(recommender_folders["fusion"]).recommend(
        [{"history": history} for history in histories]
    )
    written = pq.read_table(output).to_pylist()
    assert [row["item_ids"] for row in written] == [[each["item_id"] for each in answer] for answer in answers]
    assert {(row["model"], row["revision"]) for row in written} == {(name, old)}
