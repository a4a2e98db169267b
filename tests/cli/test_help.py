"""Help comes without transformers and torch; commands run with the package's models known."""

import subprocess
import sys
from pathlib import Path

import pytest

# What the console script of an installed package does, with its imports listed at the end.
SCRIPT = """
import sys
sys.argv[0] = "/some/where/bin/hf-llmrec"
from hf_llmrec.cli import main
try:
    status = main(sys.argv[1:])
except SystemExit as stop:
    status = stop.code
print("status", status, *sorted({"torch", "transformers"} & set(sys.modules)))
"""


def run(*words: str) -> str:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True)
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("words", [["--help"], [], ["nothing"], ["recommend", "--help"], ["push", "-h"]])
def test_help_is_light(words):
    assert run(*words) == f"status {0 if len(words) and words != ['nothing'] else 2}"


def test_commands_know_the_packages_models(dataset, tmp_path):
    dataset.save(tmp_path / "data")
    places = ["--dataset", str(tmp_path / "data"), "--output_dir", str(tmp_path / "knn")]
    assert run("train-baseline", "--model", "knn", *places, "--use_cpu", "True").startswith("status 0")
    assert (tmp_path / "knn" / "model.safetensors").is_file()
    assert run("recommend", str(tmp_path / "knn"), "--history", "i3").startswith("status 0")


def test_the_script_is_installed():
    assert (Path(sys.executable).parent / "hf-llmrec").is_file()
