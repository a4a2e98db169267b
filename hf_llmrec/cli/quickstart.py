"""``quickstart``: train, evaluate and recommend on the bundled demo shop, in a few minutes on a laptop."""

from __future__ import annotations

import logging
import sys
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..cli import build_index, train_baseline, train_galrec, train_lcrec
from ..data.demo import DemoShop, make_demo_shop
from ..data.files import write_json
from ..data.splits import EvalCases
from ..evaluation.evaluator import EvaluationResult, evaluate_ranker
from ..evaluation.oracle import OracleRanker
from ..evaluation.ranker import Ranker
from ..methods.auto import AutoRecommender
from ..methods.popularity.recommender import PopularityRecommender
from .metric_table import metric_table
from .models import open_ranker
from .option_parser import OptionParser
from .processes import start_logging
from .quickstart_options import QuickstartArguments

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

logger = logging.getLogger("hf_llmrec")


def show_users(shop: DemoShop, cases: EvalCases, result: EvaluationResult, count: int) -> str:
    """Titles of the histories and recommendations of a few users.

    Args:
        shop: gives the titles.
        cases: the users that were ranked.
        result: their recommendations.
        count: how many users to show.
    """
    titles, lines = shop.dataset.titles, []
    for number in np.linspace(0, len(cases) - 1, count).astype(int):
        user = shop.dataset.user_ids[cases.user_rows[number]]
        lines.append(f"\n{user} chose, oldest first:")
        lines += [f"    {titles[item]}" for item in cases.histories[number][-6:]]
        lines.append("  recommended (* is what the user chose next):")
        for item in result.item_rows[number][:5]:
            lines.append(f"  {'*' if item == cases.targets[number] else ' '} {titles[item]}")
        if cases.targets[number] not in result.item_rows[number][:5]:
            lines.append(f"    (chose next: {titles[cases.targets[number]]})")
    return "\n".join(lines)


def demo_config(name: str) -> Traversable:
    """The package's YAML file with training options for the demo shop.

    Args:
        name: ``lcrec`` or ``galrec``.
    """
    return resources.files("hf_llmrec").joinpath(f"cli/configs/{name}_demo.yaml")


def run(arguments: QuickstartArguments) -> dict[str, dict]:
    """Index, train, evaluate and recommend; returns the contents of ``metrics.json``."""
    began = time.perf_counter()
    output = Path(arguments.output_dir)
    shop = make_demo_shop()
    dataset, split = shop.dataset, shop.dataset.split()
    logger.info("demo shop: %d users, %d items", dataset.num_users, dataset.num_items)
    build_index.main(["--dataset", "demo", "--output_dir", str(output / "index")])
    seconds: dict[str, float] = {}
    for name, command, options in (
        ("lcrec", train_lcrec, ["--index", str(output / "index")]),
        ("galrec", train_galrec, []),
    ):
        trained = time.perf_counter()
        with resources.as_file(demo_config(name)) as path:
            command.main(["--config", str(path), "--dataset", "demo", "--output_dir", str(output / name), *options])
        seconds[name] = time.perf_counter() - trained
    for model in ("knn", "sasrec"):
        options = ["--model", model, "--dataset", "demo", "--output_dir", str(output / model)]
        train_baseline.main([*options, "--disable_tqdm", "True"])
    rankers: dict[str, Ranker] = {
        "popularity": PopularityRecommender.fit(dataset, split),
        "knn": AutoRecommender.from_pretrained(output / "knn"),
        "sasrec": AutoRecommender.from_pretrained(output / "sasrec"),
        "lcrec": AutoRecommender.from_pretrained(output / "lcrec"),
        "galrec": open_ranker(str(output / "galrec"), dataset, split),
        "oracle": OracleRanker(shop),
    }
    results = {name: evaluate_ranker(ranker, split.test) for name, ranker in rankers.items()}
    metrics = {name: result.metrics for name, result in results.items()}
    write_json(output / "metrics.json", metrics)
    print(show_users(shop, split.test, results["lcrec"], arguments.users))
    print(f"\nTest users, full ranking over {dataset.num_items} items:\n{metric_table(metrics)}")
    total_s = time.perf_counter() - began
    trained = f"LC-Rec's training {seconds['lcrec']:.0f} s, GAL-Rec's {seconds['galrec']:.0f} s"
    print(f"\n{trained}, all {total_s:.0f} s; metrics in {output / 'metrics.json'}")
    return metrics


def main(argv: list[str] | None = None) -> int:
    (arguments,) = OptionParser((QuickstartArguments,)).parse_args_and_config(sys.argv[1:] if argv is None else argv)
    start_logging()
    run(arguments)
    return 0
