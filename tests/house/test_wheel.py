"""The wheel, installed into a fresh environment outside the checkout, does what the checkout does."""

import os
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

from hf_llmrec.hub.package_wheel import make_wheel

ROOT = Path(__file__).parents[2]

PROGRAM = """
import hf_llmrec, pathlib, sys
assert "site-packages" in hf_llmrec.__file__ and str(pathlib.Path(sys.prefix)) in hf_llmrec.__file__, hf_llmrec.__file__
from hf_llmrec import make_demo_shop, build_index
from hf_llmrec.evaluation.rankings import load_metric
from hf_llmrec.indexing.text_embeddings import embed_items
from hf_llmrec.methods.galrec.prompt import load_galrec_template
from hf_llmrec.methods.lcrec.templates import load_templates
dataset = make_demo_shop().dataset
index = build_index(embed_items(dataset), dataset.item_ids)
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


def test_the_wheel_works_outside_the_checkout(dataset, tmp_path):
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path / "dist", ROOT, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    # Published repositories carry a wheel that the package packs by itself.
    name, content = make_wheel()
    (tmp_path / name).write_bytes(content)
    built, packed = (zipfile.ZipFile(file) for file in (wheel, tmp_path / name))
    assert name == wheel.name and set(packed.namelist()) == set(built.namelist())
    assert all(packed.read(file) == built.read(file) for file in built.namelist() if ".dist-info/" not in file)
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
    command = home / "bin" / "hf-llmrec"
    assert "train lcrec" in run(command, "--help", cwd=tmp_path)
    dataset.save(tmp_path / "data")
    data = ("--dataset", "data")
    run(command, "build-index", *data, "--output_dir", "index", "--levels", 3, "--codebook_size", 8, cwd=tmp_path)
    tiny = '{"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}'
    options = ("--backbone_overrides", tiny, "--max_steps", 2, "--use_cpu", "True", "--report_to", "none")
    run(command, "train", "lcrec", *data, "--index", "index", "--output_dir", "lcrec", *options, cwd=tmp_path)
    run(command, "train", "knn", *data, "--output_dir", "knn", "--use_cpu", "True", cwd=tmp_path)
    run(command, "evaluate", *data, "--model", "lcrec", "--output", "m.json", "--result", "r.json", cwd=tmp_path)
    run(command, "compare", *data, "--models", "lcrec", "knn", "--output", "comparison", cwd=tmp_path)
    assert "Ring piece" in run(command, "recommend", "lcrec", "--history", "i1", "i2", cwd=tmp_path)
    card = ("--result", "r.json", "--comparison", "comparison/comparison.json", "--files_only", "repo")
    run(command, "push", "--model", "lcrec", "--repo_id", "me/ring", *card, cwd=tmp_path)
    assert (tmp_path / "repo" / "custom_generate" / "generate.py").is_file()
    run(command, "push", "--space", "--repo_id", "me/demo", "--files_only", "space", cwd=tmp_path)
    assert (tmp_path / "space" / "app.py").is_file()
