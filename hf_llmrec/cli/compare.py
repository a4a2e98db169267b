"""``compare``: evaluate several models on the same users, and report one table with intervals, and a verdict."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from safetensors.numpy import save_file

from ..data.files import staged, write_json, write_text
from ..data.recommender_folder import load_settings
from ..evaluation.compare import best_by_group, case_groups, compare_results, in_words
from ..evaluation.comparison_report import markdown_report, save_comparison_plot
from ..evaluation.evaluator import EvaluationResult, evaluate_ranker
from ..evaluation.predictions import PredictedRankings
from .case_options import POPULARITY
from .compare_options import TIMED, CompareArguments
from .decoding_words import without_the_tree
from .models import open_ranker
from .processes import run_command
from .results import run_facts

logger = logging.getLogger("hf_llmrec")
BASELINES = {"popularity", "knn", "lightgcn", "sasrec"}


def run(arguments: CompareArguments) -> dict[str, Any]:
    """Rank the same users with every model, compare, print and save; returns the contents of ``comparison.json``."""
    dataset, split, cases = arguments.load_cases(arguments.models)
    results: dict[str, EvaluationResult] = {}
    facts: dict[str, dict[str, Any]] = {}
    baselines = set()
    for name, model in zip(arguments.names, arguments.models, strict=True):
        ranker = open_ranker(model, dataset, split, neighbors=arguments.neighbors, memory=arguments.memory)
        is_file = isinstance(ranker, PredictedRankings)
        method = "predictions" if is_file else POPULARITY if model == POPULARITY else load_settings(model)["method"]
        rows = {name: False, name + TIMED: True} if arguments.uses_times(ranker, name) else {name: False}
        for row, knows_times in rows.items():
            result = evaluate_ranker(ranker, cases, **arguments.metric_options, request_times=knows_times)
            if method in BASELINES and not knows_times:
                baselines.add(row)
            results[row] = result
            facts[row] = {
                "method": method,
                **({"request_times": True} if knows_times else {}),
                "catalogue_coverage": result.catalogue_coverage(dataset.num_items),
                "users_per_second": len(cases) / max(result.seconds, 1e-9),
                "max_history": ranker.max_history,
            }
            speed = facts[row]["users_per_second"]
            logger.info("%s: NDCG@10 %.4f, %.0f users/s", row, result["ndcg@10"], speed)
            if is_file:
                facts[row]["predictions"] = ranker.notes
            if ranker.fallback:
                facts[row]["decoding_fallback"] = ranker.fallback
                logger.warning("%s: %s", row, without_the_tree(ranker.fallback))
        for line in ranker.report() if is_file else ():
            logger.warning("%s", line)
    groups = case_groups(dataset, split, cases)
    compared = compare_results(results, groups, ks=arguments.ks, samples=arguments.bootstrap_samples)
    report = {
        "dataset": dataset.name,
        **arguments.case_facts,
        "num_users": len(cases),
        "num_items": dataset.num_items,
        "bootstrap_samples": arguments.bootstrap_samples,
        "groups": groups.notes,
        "models": {name: {**facts[name], **model} for name, model in compared.items()},
        "in_words": in_words(compared, baselines),
        "by_group": best_by_group(compared),
        **run_facts(),
    }
    if PartialState().is_main_process:
        text = markdown_report(report)
        print(text)
        output = Path(arguments.output)
        with staged(output) as folder:
            # int16 as ever, unless --ks reaches beyond it.
            dtype = np.int16 if max(arguments.ks, default=0) < 2**15 else np.int32
            ranks = {name: result.ranks.astype(dtype) for name, result in results.items()}
            save_file(ranks, folder / "ranks.safetensors")
        save_comparison_plot(report, output)
        write_text(output / "comparison.md", text)
        write_json(output / "comparison.json", report)
        logger.info("tables and plot in %s", output)
    return report


def main(argv: list[str] | None = None) -> int:
    return run_command((CompareArguments,), run, argv)
