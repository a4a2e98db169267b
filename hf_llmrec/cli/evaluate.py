"""``evaluate``: compute full-ranking metrics of a saved model, on one process or several."""

from __future__ import annotations

import sys
import time

import numpy as np
from accelerate import PartialState

from ..data.files import write_json
from ..evaluation.beyond_accuracy import beyond_accuracy
from ..evaluation.cold_metrics import cold_and_warm
from ..evaluation.evaluator import EvaluationResult, evaluate_ranker
from ..evaluation.metrics import MAX_CUTOFF
from ..evaluation.predictions import PredictedRankings
from ..indexing.text_embeddings import embed_items
from ..methods.lcrec.recommender import LCRecRecommender
from .decoding_words import without_the_tree
from .evaluate_options import EvaluateArguments
from .metric_table import metric_table
from .plain_text import plain_text_metrics
from .processes import run_command
from .result_file import result_record
from .results import run_facts
from .task_metrics import task_metrics


def run(arguments: EvaluateArguments) -> dict:
    """Evaluate, print the metrics and write ``--output`` and ``--result``; returns the contents of ``--output``."""
    dataset, split, cases = arguments.load_cases([arguments.model])
    ranker = arguments.open_ranker(dataset, split)
    began = time.perf_counter()

    def progress(done: int, total: int) -> None:
        if PartialState().is_main_process:
            rate = done / max(time.perf_counter() - began, 1e-9)
            print(f"\r{done}/{total} users, {rate:.0f} users/s", end="\n" if done == total else "", file=sys.stderr)

    options = {**arguments.metric_options, "request_times": arguments.uses_times(ranker, arguments.model)}

    def evaluate() -> EvaluationResult:
        return evaluate_ranker(ranker, cases, **options, on_progress=progress)

    result = evaluate()
    metrics = result.metrics
    if arguments.templates == "all":
        if not isinstance(ranker, LCRecRecommender) or ranker.prompt.num_templates == 1:
            raise ValueError(f"--templates all: the prompt of {arguments.model} has one wording only")
        per_template = [metrics]
        for template in range(1, ranker.prompt.num_templates):
            ranker.template = template
            per_template.append(evaluate().metrics)
        metrics = {name: type(value)(np.mean([each[name] for each in per_template])) for name, value in metrics.items()}
        ranker.template = 0
    report = {
        **metrics,
        "templates": arguments.templates,
        **arguments.case_facts,
        **({"request_times": True} if options["request_times"] else {}),
        "max_history": ranker.max_history,
        "catalogue_coverage": result.catalogue_coverage(dataset.num_items),
        "train_only_users": split.train_only_users,
        "duration_s": round(result.seconds, 2),
        **run_facts(),
    }
    if split.is_cold is not None:
        report["groups"] = cold_and_warm(result, split.is_cold[cases.targets])
    if arguments.beyond_accuracy:
        vectors, ks = embed_items(dataset), (MAX_CUTOFF, *arguments.ks)
        values = beyond_accuracy(result.item_rows, split, dataset.num_items, vectors=vectors, ks=ks)
        report["beyond_accuracy"] = values
        if PartialState().is_main_process:
            print("\n".join(f"{name:<34}{value:.4f}" for name, value in values.items()))
    if arguments.tasks:
        report["tasks"] = task_metrics(arguments, ranker, dataset, split)
    if arguments.plain_text:
        report["plain_text"] = plain_text_metrics(arguments, ranker)
    if isinstance(ranker, LCRecRecommender):
        report["decoding_fallback"] = ranker.fallback
    if isinstance(ranker, PredictedRankings):
        report["predictions"] = ranker.notes
    if PartialState().is_main_process:
        groups = {name: values for name, values in report.get("groups", {}).items() if values["num_users"]}
        print(metric_table({arguments.model: metrics, **groups}))
        for line in ranker.report() if isinstance(ranker, PredictedRankings) else ():
            print(f"warning: {line}")
        if ranker.fallback:
            print(f"warning: {without_the_tree(ranker.fallback)}")
        if arguments.output:
            write_json(arguments.output, report)
        if arguments.result:
            write_json(arguments.result, result_record(report, arguments.model))
    return report


def main(argv: list[str] | None = None) -> int:
    return run_command((EvaluateArguments,), run, argv)
