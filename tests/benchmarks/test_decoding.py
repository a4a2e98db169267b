"""The decoding benchmark runs, and refuses to compare searches that do not find the same items."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "decoding.py"


def test_the_decoding_benchmark_compares_like_with_like(tmp_path):
    small = ["--hidden_size", "32", "--num_hidden_layers", "1", "--items", "200", "--codes", "16", "--levels", "3"]
    small += ["--batch_size", "3", "--prompt_length", "10", "--num_beams", "5", "--repeats", "1"]
    command = [sys.executable, str(SCRIPT), *small, "--output", str(tmp_path / "decoding.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "decoding.json").read_text())
    assert report["same_items"] == 1.0 and report["times_faster"]["generate(prefix_allowed_tokens_fn)"] == 1.0
