"""The documents: no gaps left open, links and commands that exist, results that are what the tables say."""

import json
import re
from pathlib import Path

import pytest

from hf_llmrec.cli.commands import COMMANDS, GROUPS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *(
            p
            for folder in ("docs", "recipes", "benchmarks", "datasets_scripts", "model_cards", "spaces")
            for p in (ROOT / folder).rglob("*.md")
        ),
    ]
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_left_open_and_links_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    assert "@@" not in text and "TODO" not in text
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("http") or (document.parent / target).exists(), target
    for path in re.findall(r"(?<![\w/$.])(?:recipes|benchmarks|results|docs)/[\w./-]+\w", text):
        assert (ROOT / path).exists(), path


def test_commands_in_documents_exist():
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for command in re.findall(r"hf-llmrec ((?:(?:train|tune) )?[a-z][a-z_-]+)", text):
            assert command in COMMANDS or command in GROUPS, command
        for option in re.findall(r"accelerate launch recipes/(\w+)\.py", text):
            assert (ROOT / "recipes" / f"{option}.py").exists()


def test_every_result_file_says_how_it_came_about():
    records = {path: json.loads(path.read_text()) for path in (ROOT / "results").rglob("*.json")}
    bare = [path for path, record in records.items() if "ndcg@10" in record]
    assert not bare, f"what evaluate prints, not a result file (--result): {bare}"
    files = [path for path, record in records.items() if "metrics" in record]
    assert files
    for path in files:
        record = records[path]
        assert {"metrics", "config", "seed", "versions", "hardware", "duration_s"} <= set(record), path
        assert 0 <= record["metrics"]["ndcg@10"] <= record["metrics"]["hit_rate@10"] <= 1
        assert record["evaluation"]["split"] == "test" and "/" not in json.dumps(record["config"]), path
