"""Intentions from descriptions: of no user, without title and brand, and trained on without a history."""

import json

import pyarrow as pa
import pytest

from hf_llmrec import RecDataset
from hf_llmrec.cli import annotate, build_index, train_lcrec
from hf_llmrec.data.held_out_texts import HeldOutTexts
from hf_llmrec.methods.lcrec.candidates import TaskCandidates
from hf_llmrec.methods.lcrec.prompt import LCRecPrompt
from hf_llmrec.prompting.training_text import corpus_texts, held_out_intentions, intention_rows, item_intention_rows
from hf_llmrec.supervision.requests import description_requests


def shop(**tables) -> RecDataset:
    """Eight users of four items each, without times and reviews."""
    rows = [(f"u{n}", f"i{(n + step) % 6}", step) for n in range(8) for step in range(4)]
    users, items, positions = map(list, zip(*rows, strict=True))
    return RecDataset.from_datasets(
        {"user_id": users, "item_id": items, "position": positions},
        {
            "item_id": [f"i{n}" for n in range(6)],
            "title": [f"Widget {n}" for n in range(6)],
            "brand": ["Acme"] * 6,
            "description": [f"Widget {n} by Acme holds paper" if n else " " for n in range(6)],
        },
        name="shop",
        **tables,
    )


MIXED = {
    "user_id": ["u0", None, None, "u1"],
    "item_id": ["i0", "i1", "i5", "i4"],
    "text": ["for u0", "for i1", "for i5", "for the test of u1"],
}


def test_requests_hold_neither_title_nor_brand():
    requests = list(description_requests(shop()))
    assert [request.item_id for request in requests] == ["i1", "i2", "i3", "i4", "i5"]
    assert all(request.user_id is None and request.timestamp is None for request in requests)
    for request in requests:
        system, user = request.messages("json")
        assert "description of one item" in system["content"] and "review" not in system["content"]
        assert json.loads(user["content"])["description"] == "it by it holds paper"
        assert request.forbidden == (f"Widget {request.item_id[1]}", "Acme")
    bare = RecDataset.from_datasets(
        {"user_id": ["u"], "item_id": ["i"], "position": [0]}, {"item_id": ["i"], "title": ["T"]}
    )
    with pytest.raises(ValueError, match="no item has a description"):
        list(description_requests(bare))


def test_a_table_with_and_without_users(tmp_path):
    dataset = shop(intentions=MIXED)
    split = dataset.split()
    assert [row[1:] for row in intention_rows(dataset, split)] == [(0, "for u0")]
    assert [row[1:] for row in item_intention_rows(dataset)] == [(1, "for i1"), (5, "for i5")]
    assert [row[1:] for row in held_out_intentions(dataset, split)] == [(4, "for the test of u1")]
    assert "for i5" in corpus_texts(dataset, split) and "for the test of u1" not in corpus_texts(dataset, split)
    candidates = TaskCandidates(dataset, split, LCRecPrompt())
    assert [(name, len(rows)) for name, rows in candidates.of_task("ite")] == [
        ("ite_intention_to_item", 3),
        ("ite_history_intention_to_item", 1),
    ]
    held_out = HeldOutTexts(0.5, seed=1).choose(6)
    kept = [name for name, item in (("for u0", 0), ("for i1", 1), ("for i5", 5)) if not held_out[item]]
    apart = TaskCandidates(dataset, split, LCRecPrompt(), 0, held_out)
    apart.of_task("ite")
    assert [row[2] for row in apart.texts.get("ite", [])] == kept
    dataset.save(tmp_path / "d")
    assert RecDataset.load(tmp_path / "d").intentions.column("user_id").to_pylist() == MIXED["user_id"]
    assert RecDataset.load(tmp_path / "d", k_core=2).intentions.num_rows == 4
    only = {**MIXED, "user_id": pa.nulls(4)}
    assert len(item_intention_rows(shop(intentions=pa.table(only)))) == 4


def test_unknown_users_and_items_are_refused_all_the_same():
    with pytest.raises(ValueError, match=r"row 2: column 'user_id': 'u9' is unknown"):
        shop(intentions={**MIXED, "user_id": ["u0", None, "u9", None]})
    with pytest.raises(ValueError, match=r"row 1: column 'item_id' is null"):
        shop(intentions={**MIXED, "item_id": ["i0", None, "i5", "i4"]})
    with pytest.raises(ValueError, match=r"row 1: column 'user_id' is null"):
        shop(preferences={"user_id": ["u0", None], "text": ["a", "b"]})


def test_annotate_and_train(chat_model, tmp_path, capsys):
    shop().save(tmp_path / "d")
    local = ["--dataset", str(tmp_path / "d"), "--model", str(chat_model), "--local", "--max_tokens", "8"]
    local += ["--source", "descriptions", "--answer_format", "text"]
    with pytest.raises(ValueError, match="--kinds preferences"):
        annotate.main([*local, "--kinds", "preferences"])
    annotate.main(local)
    table = RecDataset.load(tmp_path / "d").intentions
    assert 1 <= table.num_rows <= 5 and table.column("user_id").null_count == table.num_rows
    assert "timestamp" not in table.column_names
    card = (tmp_path / "d" / "README.md").read_text()
    assert "| read | descriptions of items |" in card and "are of no user" in card and "From reviews" not in card
    build_index.main(["--dataset", str(tmp_path / "d"), "--output_dir", str(tmp_path / "index")])
    places = ["--index", str(tmp_path / "index"), "--output_dir", str(tmp_path / "lcrec")]
    short = ["--max_steps", "1", "--use_cpu", "True", "--report_to", "none"]
    train_lcrec.main(["--dataset", str(tmp_path / "d"), *places, *short, "--task_weights", '{"seq": 1, "ite": 1}'])
    rows = json.loads((tmp_path / "lcrec" / "training_report.json").read_text())["task_rows"]
    assert rows["ite_intention_to_item"] == table.num_rows and rows["ite_history_intention_to_item"] == 0
