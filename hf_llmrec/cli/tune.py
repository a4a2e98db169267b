"""``tune sasrec|galrec|lcrec``: search for the training options that are best on validation users, within a budget."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from trl import ModelConfig  # pyright: ignore[reportPrivateImportUsage]  # trl exports it lazily

from ..methods.galrec.trainer_config import GALRecTrainingConfig
from ..methods.lcrec.trainer_config import LCRecTrainingConfig
from ..methods.sasrec.trainer_config import SASRecTrainingConfig
from ..tuning.search import HyperparameterSearch
from ..tuning.search_record import file_facts
from ..tuning.space import SearchSpace
from .baseline_options import BaselineArguments
from .galrec_options import GALRecArguments
from .lcrec_options import LCRecArguments
from .option_parser import OptionParser
from .processes import start_logging
from .tune_options import TuneArguments, given_options
from .tune_process import train_trial

OPTIONS = {
    "sasrec": (BaselineArguments, SASRecTrainingConfig),
    "galrec": (GALRecArguments, GALRecTrainingConfig, ModelConfig),
    "lcrec": (LCRecArguments, LCRecTrainingConfig, ModelConfig),
}
# Places and ways of running, which do not affect what is learned: they are not written to `best.yaml`.
_PLACES = ("dataset", "output_dir", "cpu_threads", "disable_tqdm", "resume", "model", "hub_token")
# Options that belong to one model, and not to all trials.
_REFUSED = ("push_to_hub", "export_embeddings", "dry_run")
# Options without which trials cannot be compared, or which are shared by all of them.
_SHARED = (
    "seed",
    "k_core",
    "protocol",
    "cold_items",
    "cold_seed",
    "other_data",
    "eval_users",
    "teacher_options",
    "teacher_dir",
)


def _space(arguments: TuneArguments, options: Mapping[str, Any], known: set[str]) -> SearchSpace:
    """The space of ``--space``, or the method's own; each of its names is an option of the training."""
    is_pretrained = arguments.method != "sasrec" and bool(options.get("model_name_or_path"))
    bundled = f"{arguments.method}_pretrained" if is_pretrained else arguments.method
    space = SearchSpace.load(arguments.space) if arguments.space else SearchSpace.of_method(bundled)
    for name in space:
        first = name.partition(".")[0]
        if first not in known or first in (*_PLACES, *_REFUSED, *_SHARED):
            source = arguments.space or bundled
            raise ValueError(f"--space {source}: {name} is no option of `train {arguments.method}` to search over")
    return space


def run(argv: list[str]) -> None:
    """Parse, check what all trials share, and search."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ValueError("tune trains one trial after the other: launch it with --num_processes 1")
    method = argv[argv.index("--method") + 1]  # put there by the name of the command
    kinds = (TuneArguments, *OPTIONS[method])
    arguments, data, training, *_ = OptionParser(kinds).parse_args_and_config(argv)
    given = given_options(kinds, argv)
    for name in _REFUSED:
        if given.get(name):
            raise ValueError(f"--{name} is of one model, and a search trains many: give it to `train` with best.yaml")
    known = {name for kind in OPTIONS[method] for name in kind.__dataclass_fields__}
    space, output = _space(arguments, given, known), Path(training.output_dir)
    places = {name: given[name] for name in ("dataset", "cpu_threads") if name in given}
    if method == "galrec" and not given.get("teacher_dir"):  # one teacher for all trials
        places["teacher_dir"] = str(output / "teacher")
    options = {name: value for name, value in given.items() if name not in _PLACES}
    options["seed"] = seed = given.get("seed", 0)
    if arguments.metric != "ndcg@10":  # that of the best checkpoint, unless it is set
        options.setdefault("metric_for_best_model", arguments.metric)
    dataset, split = data.load()
    split.require_cases("validation")
    facts = {"method": method, "data": data.data_facts(dataset), "files": file_facts(options)}
    search = HyperparameterSearch(
        space,
        output,
        options=options,
        metric=arguments.metric,
        budget=arguments.budget,
        num_trials=arguments.num_trials,
        seed=seed,
        prune=arguments.prune,
        facts=facts,
        heading=f"hf-llmrec train {method} --config best.yaml --dataset D --output_dir O",
    )
    search.run(partial(train_trial, method, places=places))
    print((output / "trials.md").read_text(encoding="utf-8"))


def main(argv: list[str] | None = None) -> int:
    start_logging()
    run(sys.argv[1:] if argv is None else argv)
    return 0
