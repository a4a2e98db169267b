"""Every Python example of the documents runs, page by page, beside small models of the demo shop."""

import re
import runpy
import sys
from pathlib import Path

import pytest

from hf_llmrec.cli import build_index, train_baseline, train_galrec, train_lcrec

ROOT = Path(__file__).parents[2]
# What follows "python" in a block's first line: nothing, `notest` for what needs a GPU or the real Hub, or `hub` for
# what tests/hub runs with a local one.
BLOCK = re.compile(r"^```python([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "datasets_scripts" / "README.md"]
EXAMPLES = [page for page in PAGES if any(not word.strip() for word, _ in BLOCK.findall(page.read_text()))]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """What `make quickstart` leaves behind, after a step of training."""
    root = tmp_path_factory.mktemp("docs") / "outputs" / "quickstart"
    demo = ["--dataset", "demo"]
    build_index.main([*demo, "--output_dir", str(root / "index")])
    short = ["--max_steps", "1", "--use_cpu", "True", "--report_to", "none", "--eval_users", "20"]
    tiny = '{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}'
    backbone = ["--backbone_overrides", tiny, "--corpus_vocab_size", "500", *short]
    train_lcrec.main([*demo, "--index", str(root / "index"), "--output_dir", str(root / "lcrec"), *backbone])
    train_galrec.main([*demo, "--external", "text", "--output_dir", str(root / "galrec"), *backbone])
    train_baseline.main([*demo, "--model", "sasrec", "--output_dir", str(root / "sasrec"), *short])
    return root.parents[1]


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_run_in_the_order_of_the_page(page, workplace, tmp_path, monkeypatch):
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "quickstart").symlink_to(workplace / "outputs" / "quickstart")
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "example"}
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        option, code = found.groups()
        assert option.strip() in ("", "notest", "hub"), f"{page.name}: ```python{option}"
        if option.strip():
            continue
        line = text[: found.start()].count("\n") + 2
        # Where an error arises, it names the page and the line.
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)


def test_what_shows_how_to_extend_stays_short():
    blocks = BLOCK.findall((ROOT / "docs" / "extending.md").read_text())
    longest = {"hub": 80}  # a whole method
    assert len(blocks) >= 6 and all(code.count("\n") < longest.get(word.strip(), 40) for word, code in blocks)


def test_the_api_reference_has_the_docstrings(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["build_api.py", str(tmp_path)])
    runpy.run_path(str(ROOT / "docs" / "build_api.py"), run_name="__main__")
    import hf_llmrec

    page = (tmp_path / "hf_llmrec.html").read_text(encoding="utf-8")
    for name in hf_llmrec.__all__:
        assert f'id="{name}"' in page, f"{name} is not in the reference"
    assert "Full-ranking metrics on a split" in page
    pages = {str(path.relative_to(tmp_path / "hf_llmrec")) for path in (tmp_path / "hf_llmrec").rglob("*.html")}
    assert {"methods/lcrec/recommender.html", "losses.html", "data/graph.html"} <= pages
