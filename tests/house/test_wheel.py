"""The wheel, installed into a fresh environment outside the checkout, does what the checkout does."""

import os
import site
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAM = """
import hf_llmrec, pathlib, sys
assert "site-packages" in hf_llmrec.__file__ and str(pathlib.Path(sys.prefix)) in hf_llmrec.__file__, hf_llmrec.__file__
from hf_llmrec import make_demo_shop, build_index
from hf_llmrec.evaluation.rankings import load_metric
from hf_llmrec.indexing.text_embeddings import embed_items, item_texts
from hf_llmrec.prompts.galrec_prompt import load_galrec_template
from hf_llmrec.prompts.templates import load_templates
dataset = make_demo_shop().dataset
index = build_index(embed_items(item_texts(dataset)), dataset.item_ids)
index.save_pretrained("index")
assert load_galrec_template("words")["own"]
assert hf_llmrec.ItemIndex.from_pretrained("index").is_unique and len(load_templates()) > 5
metric = load_metric("ndcg")  # modules that are read as files
assert metric.compute(predictions=[["b", "a"]], references=["b"], k=2) == {"ndcg@2": 1.0}
print(dataset.num_items, index.levels)
"""


def run(*command, cwd) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_works_outside_the_checkout(tmp_path):
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path / "dist", ROOT, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    # A fresh environment with the wheel alone; its dependencies are borrowed from this one through a .pth file, which
    # saves gigabytes. The assertion on hf_llmrec.__file__ shows that the package itself is not borrowed.
    home = tmp_path / "fresh"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    packages = next((home / "lib").glob("python*/site-packages"))
    borrowed = [path for path in site.getsitepackages() if Path(path).is_dir()]
    (packages / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    assert run(python, "-c", PROGRAM, cwd=tmp_path).split() == ["600", "4"]
    usage = subprocess.run([home / "bin" / "hf-llmrec", "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert usage.returncode == 0 and "train-lcrec" in usage.stderr
