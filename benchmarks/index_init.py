"""How the embedding rows of index tokens begin: `codebook` beside `mean_noise`, over several seeds.

    python benchmarks/index_init.py --seeds 3 --output results/demo/index_init.json

Trains the demo recipe with each and compares NDCG@10 on all validation users of the demo shop. Index, data and batches
are the same; the seed changes the backbone's weights and the order of rows. With ``--num_train_epochs`` fewer than the
recipe's the difference at the start of training is larger.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from transformers import HfArgumentParser

from hf_llmrec.cli import build_index, train_lcrec
from hf_llmrec.cli.results import run_facts
from hf_llmrec.data.files import read_json, write_json

METHODS = ("codebook", "mean_noise")


@dataclass
class BenchmarkArguments:
    """What is trained.

    Args:
        seeds: runs per method, seeds 0, 1, ...
        num_train_epochs: replaces the recipe's number.
        output: JSON file.
    """

    seeds: int = 3
    num_train_epochs: float | None = None
    output: str | None = field(default=None)


def main() -> None:
    (arguments,) = HfArgumentParser((BenchmarkArguments,)).parse_args_into_dataclasses()
    recipe = resources.files("hf_llmrec").joinpath("cli/configs/lcrec_demo.yaml")
    found: dict[str, list[float]] = {method: [] for method in METHODS}
    with tempfile.TemporaryDirectory() as folder, resources.as_file(recipe) as config:
        build_index.main(["--dataset", "demo", "--output_dir", f"{folder}/index"])
        for seed in range(arguments.seeds):
            for method in METHODS:
                output = f"{folder}/{method}-{seed}"
                options = ["--config", str(config), "--dataset", "demo", "--index", f"{folder}/index"]
                options += ["--output_dir", output, "--index_init", method, "--seed", str(seed), "--eval_users", "0"]
                # The metric is that of the codes alone.
                options += ["--disable_tqdm", "True", "--learn_repeat_bias", "False", "--memory", "False"]
                if arguments.num_train_epochs:
                    options += ["--num_train_epochs", str(arguments.num_train_epochs)]
                train_lcrec.main(options)
                report = read_json(Path(output) / "training_report.json")
                found[method].append(report["validation"]["ndcg@10"])
                print(f"{method:<12} seed {seed}: validation NDCG@10 {found[method][-1]:.4f}", flush=True)
    differences = [a - b for a, b in zip(*(found[method] for method in METHODS), strict=True)]
    spread = statistics.stdev(differences) if len(differences) > 1 else float("nan")
    mean = statistics.mean(differences)
    print(f"codebook - mean_noise: mean {mean:+.4f}, standard deviation over seeds {spread:.4f}")
    if arguments.output:
        result = {"validation_ndcg@10": found, "mean_difference": mean, "standard_deviation": spread}
        write_json(arguments.output, {**result, "num_train_epochs": arguments.num_train_epochs, **run_facts()})


if __name__ == "__main__":
    main()
