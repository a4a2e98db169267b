"""``train sasrec|lightgcn|knn|popularity``: train or fit a baseline, and save it as a recommender folder."""

from __future__ import annotations

import sys
import time

from transformers import set_seed

from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..methods.lightgcn.configuration_lightgcn import LightGCNConfig
from ..methods.lightgcn.recommender import LightGCNRecommender
from ..methods.lightgcn.trainer import LightGCNTrainer
from ..methods.sasrec.configuration_sasrec import SASRecConfig
from ..methods.sasrec.recommender import SASRecRecommender
from ..methods.sasrec.trainer import SASRecTrainer
from ..training.row_config import RowTrainingConfig
from .baseline_options import TRAINING_CONFIGS, BaselineArguments
from .fit_baseline import fit
from .json_options import naming
from .option_parser import OptionParser
from .processes import end_processes, start_run
from .results import changed_options
from .row_run import SavedModel, train_and_save
from .saving import finish_run

TRAINED = {
    "sasrec": (SASRecConfig, SASRecRecommender, SASRecTrainer),
    "lightgcn": (LightGCNConfig, LightGCNRecommender, LightGCNTrainer),
}


def train(
    arguments: BaselineArguments, training: RowTrainingConfig, dataset: RecDataset, split: RecSplit
) -> SavedModel:
    """Train SASRec or LightGCN, or resume training, and save the recommender of the best checkpoint.

    Args:
        arguments: say which model.
        training: options of the trainer.
        dataset: what to train on.
        split: what is held out.
    """
    config, recommender_class, trainer_class = TRAINED[arguments.model]
    options = arguments.fields(config)
    if arguments.include_users:
        options["include_users"] = True
    with naming("model_options"):
        recommender = recommender_class.from_dataset(dataset, **options)
    return train_and_save(trainer_class, recommender, arguments, training, dataset, split)


def run(arguments: BaselineArguments, training: RowTrainingConfig) -> dict[str, float]:
    """Train or fit, save the recommender folder and its report; returns the validation metrics."""
    began = time.perf_counter()
    set_seed(training.seed)
    dataset, split = arguments.load()
    split.require_cases("validation")  # which choose the best model
    train_or_fit = train if arguments.model in TRAINED else fit
    saved = train_or_fit(arguments, training, dataset, split)
    # Made only now: creating training arguments again resets the devices.
    defaults = TRAINING_CONFIGS[arguments.model](output_dir=training.output_dir)
    config = {**arguments.changed, **changed_options(training, defaults), "model": arguments.model}
    finish_run(training, saved.pushes, saved.metrics, began, {"config": config, **saved.report})
    return saved.metrics


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    # The options depend on the model, which the YAML file may name; --help shows SASRec's by default.
    words = [word for word in argv if word not in ("-h", "--help")]
    if words != argv and "--model" not in words and "--config" not in words:
        words += ["--model", "sasrec"]
    if words != argv and "--dataset" not in words:
        words += ["--dataset", "demo"]
    first = OptionParser((BaselineArguments,)).parse_args_and_config(words, return_remaining_strings=True)[0]
    parser = OptionParser((BaselineArguments, TRAINING_CONFIGS[first.model]))
    arguments, training = parser.parse_args_and_config(argv)
    start_run(arguments)
    run(arguments, training)
    end_processes()
    return 0
