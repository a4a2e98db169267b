"""``ablate``: train GAL-Rec variants that each change one thing, over seeds, and report one table and one plot."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState

from ..data.demo import make_demo_shop
from ..data.files import read_json, write_json
from ..evaluation.evaluator import evaluate_ranker
from ..evaluation.pair_auc import pair_auc
from ..methods.galrec.recommender import GALRecRecommender
from .ablate_options import AblationArguments
from .ablate_runs import changed_since, made_from, train_variant
from .ablation_report import ablation_table, save_ablation, summarize
from .models import open_ranker
from .processes import run_command
from .results import run_facts

logger = logging.getLogger("hf_llmrec")
COMMUNITY_AUC = "community_auc"


def look_alike_pairs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of demo items with nearly the same text, and whether the same community buys both.

    Items of one group are the most alike, but each belongs to another community, so none of their pairs would be
    positive. The pairs are therefore of one kind and two groups.

    Returns:
        rows of the first items, rows of the second items (int, (pairs,)), and whether they share a community (bool).
    """
    shop = make_demo_shop()
    first, second = np.triu_indices(len(shop.item_kind), 1)
    keep = (shop.item_kind[first] == shop.item_kind[second]) & (shop.item_group[first] != shop.item_group[second])
    first, second = first[keep], second[keep]
    return first, second, shop.item_community[first] == shop.item_community[second]


def measure(arguments: AblationArguments, folder: Path) -> dict[str, float]:
    """NDCG@10 on validation and test users; on the demo shop also the AUC of E_i^0 on `look_alike_pairs`.

    Args:
        arguments: say which dataset and split to evaluate on.
        folder: the trained GAL-Rec.
    """
    dataset, split = arguments.load()
    ranker = open_ranker(str(folder), dataset, split)
    assert isinstance(ranker, GALRecRecommender)
    metrics = {}
    for name in ("validation", "test"):
        result = evaluate_ranker(ranker, getattr(split, name))
        metrics[f"{name}_ndcg@10"] = result.metrics["ndcg@10"]
    if arguments.dataset == "demo":
        pairs = look_alike_pairs()
        metrics[COMMUNITY_AUC] = pair_auc(ranker.item_vectors(), *pairs)
        metrics["text_auc"] = pair_auc(ranker.trunk.item_external.cpu().numpy(), *pairs)
    return metrics


def run(arguments: AblationArguments) -> dict[str, Any]:
    """Train, evaluate and write the table; returns the contents of ``ablation.json``."""
    if PartialState().num_processes > 1:
        raise ValueError("ablate trains one model after the other in one process: launch it with --num_processes 1")
    output = Path(arguments.output_dir)
    dataset, _ = arguments.load()
    common = made_from(arguments, arguments.data_facts(dataset))
    runs: dict[str, list[dict[str, float]]] = {}
    for name, changes in arguments.variants.items():
        for seed in arguments.seeds:
            folder = output / name / f"seed_{seed}"
            file = folder / "measures.json"
            # An earlier run is reused only if it was made with the same options and data.
            record = {"options": changes, "seed": seed, **common}
            changed = changed_since(record, file)
            if changed:
                logger.info("%s, seed %d: trained again, with other %s", name, seed, " and ".join(changed))
            if changed is None or changed:
                seconds = train_variant(arguments, dataset, changes, seed, folder)
                write_json(file, {**record, "measures": measure(arguments, folder), "seconds": round(seconds, 1)})
            measured = read_json(file)["measures"]
            logger.info("%s, seed %d: %s", name, seed, {key: round(value, 4) for key, value in measured.items()})
            runs.setdefault(name, []).append(measured)
    measures = [key for key in next(iter(runs.values()))[0] if key != "text_auc"]
    report = {
        "dataset": arguments.dataset if arguments.dataset == "demo" else Path(arguments.dataset).name,
        "base": Path(arguments.base).name,
        "seeds": arguments.seeds,
        "variants": arguments.variants,
        "measures": measures,
        "summary": summarize(runs, measures),
        **({"text_auc": next(iter(runs.values()))[0]["text_auc"]} if arguments.dataset == "demo" else {}),
        **run_facts(),
    }
    write_json(output / "ablation.json", report)
    save_ablation(report, output)
    print(ablation_table(report["summary"], measures, arguments.seeds))
    return report


def main(argv: list[str] | None = None) -> int:
    return run_command((AblationArguments,), run, argv)
