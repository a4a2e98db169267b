"""``evaluate``: full-ranking metrics of a saved model, on one process or several."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass, field

import numpy as np
from accelerate import PartialState

from ..data.files import write_json
from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..evaluation.evaluator import EvaluationResult, evaluate_ranker
from ..evaluation.ranker import Ranker
from ..methods.lcrec.recommender import LCRecRecommender
from ..methods.lcrec.task_report import TaskReport
from ..training.main_process import run_on_main_process
from .models import CaseArguments, open_ranker
from .option_parser import OptionParser
from .options import end_processes, metric_table, start_run
from .results import result_record, run_facts, without_the_tree

logger = logging.getLogger("hf_llmrec")


@dataclass
class EvaluateArguments(CaseArguments):
    """What to evaluate, and how; on whom, see `CaseArguments`.

    Args:
        model: recommender folder or Hub id, or ``popularity``.
        output: JSON file for the metrics.
        result: JSON file for the metrics together with how the model was trained, to be committed or compared.
        num_beams, normalize, max_history, batch_size: replace the model's stored settings.
        templates: ``first``, or ``all`` to average the metrics over all wordings of the prompt (prefix form).
        tasks: also report whether LC-Rec's alignment tasks were learned, on at most 2,000 items or users each.
    """

    model: str = field(default=None, metadata={"help": "recommender folder or Hub id, or `popularity`"})
    output: str | None = field(default=None, metadata={"help": "JSON file for the metrics"})
    result: str | None = field(default=None, metadata={"help": "JSON file for metrics and training configuration"})
    num_beams: int | None = field(default=None, metadata={"help": "beams (default: the model's setting)"})
    normalize: str | None = field(default=None, metadata={"help": "`vocab`, `level` or `children`"})
    max_history: int | None = field(default=None, metadata={"help": "latest items read (default: the model's)"})
    batch_size: int | None = field(default=None, metadata={"help": "prompts per forward pass"})
    templates: str = field(default="first", metadata={"help": "`first`, or `all`: metrics averaged over all wordings"})
    tasks: bool = field(default=False, metadata={"help": "also report whether LC-Rec's alignment tasks were learned"})

    def __post_init__(self):
        if not self.model:
            raise ValueError("--model is required: a recommender folder, a Hub id, or `popularity`")
        super().__post_init__()
        if self.templates not in ("first", "all"):
            raise ValueError(f"--templates must be first or all, got {self.templates!r}")
        for name in ("num_beams", "max_history", "batch_size"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")

    def open_ranker(self, dataset: RecDataset, split: RecSplit) -> Ranker:
        """The model behind the `Ranker` interface, with the options given here."""
        options = {name: getattr(self, name) for name in ("num_beams", "normalize", "max_history", "batch_size")}
        options["neighbors"] = self.neighbors
        return open_ranker(self.model, dataset, split, **options)


def run(arguments: EvaluateArguments) -> dict:
    """Evaluate, print the table and write ``--output``; returns the metrics."""
    dataset, split, cases = arguments.load_cases([arguments.model])
    ranker = arguments.open_ranker(dataset, split)
    began = time.perf_counter()

    def progress(done: int, total: int) -> None:
        if PartialState().is_main_process:
            rate = done / max(time.perf_counter() - began, 1e-9)
            print(f"\r{done}/{total} users, {rate:.0f} users/s", end="\n" if done == total else "", file=sys.stderr)

    def evaluate() -> EvaluationResult:
        return evaluate_ranker(ranker, cases, mask_seen=arguments.mask_seen, on_progress=progress)

    result = evaluate()
    metrics = result.metrics
    if arguments.templates == "all":
        if not isinstance(ranker, LCRecRecommender) or ranker.prompt.num_templates == 1:
            raise ValueError(f"--templates all: the prompt of {arguments.model} has one wording only")
        found = [metrics]
        for template in range(1, ranker.prompt.num_templates):
            ranker.template = template
            found.append(evaluate().metrics)
        metrics = {name: type(value)(np.mean([each[name] for each in found])) for name, value in metrics.items()}
        ranker.template = 0
    report = {
        **metrics,
        "templates": arguments.templates,
        "split": arguments.split,
        "protocol": arguments.protocol,
        "mask_seen": arguments.mask_seen,
        "max_history": ranker.max_history,
        "catalogue_coverage": result.catalogue_coverage(dataset.num_items),
        "train_only_users": split.train_only_users,
        "duration_s": round(result.seconds, 2),
        **run_facts(),
    }
    if arguments.tasks:
        if not isinstance(ranker, LCRecRecommender):
            raise ValueError(f"--tasks is about LC-Rec models; {arguments.model} is none")
        tasks = TaskReport(ranker, dataset, split, arguments.split)
        report["tasks"] = run_on_main_process(tasks.run, "reporting on the tasks")
        if PartialState().is_main_process:
            for name, value in report["tasks"].items():
                print(f"{name:<34}{'no data' if value is None else f'{value:.4f}'}")
    if isinstance(ranker, LCRecRecommender):
        report["decoding_fallback"] = ranker.fallback
    if PartialState().is_main_process:
        print(metric_table({arguments.model: metrics}))
        if ranker.fallback:
            print(f"warning: {without_the_tree(ranker.fallback)}")
        if arguments.output:
            write_json(arguments.output, report)
        if arguments.result:
            write_json(arguments.result, result_record(report, arguments.model))
    return report


def main(argv: list[str] | None = None) -> int:
    (arguments,) = OptionParser((EvaluateArguments,)).parse_args_and_config(sys.argv[1:] if argv is None else argv)
    start_run(arguments)
    run(arguments)
    end_processes()
    return 0
