"""``train sasrec|lightgcn|knn|popularity``: baselines as recommender folders."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedConfig, set_seed

from ..data.embedding_files import save_embeddings
from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..methods.item_knn.configuration_item_knn import ItemKNNConfig
from ..methods.item_knn.recommender import GRID, ItemKNNRecommender
from ..methods.lightgcn.configuration_lightgcn import LightGCNConfig
from ..methods.lightgcn.recommender import LightGCNRecommender
from ..methods.lightgcn.trainer import LightGCNTrainer
from ..methods.lightgcn.trainer_config import LightGCNTrainingConfig
from ..methods.popularity.recommender import PopularityRecommender
from ..methods.sasrec.configuration_sasrec import SASRecConfig
from ..methods.sasrec.recommender import SASRecRecommender
from ..methods.sasrec.trainer import SASRecTrainer
from ..methods.sasrec.trainer_config import SASRecTrainingConfig
from ..training.pushes import TrainingPushes
from ..training.row_config import RowTrainingConfig
from ..training.row_trainer import validation_cases
from .list_options import json_object, naming
from .option_parser import OptionParser
from .options import DatasetArguments, end_processes, start_run
from .results import changed_options, describe_run
from .saving import finish_run

logger = logging.getLogger("hf_llmrec")
TRAINING_CONFIGS: dict[str, type[RowTrainingConfig]] = {
    "sasrec": SASRecTrainingConfig,
    "lightgcn": LightGCNTrainingConfig,
    "knn": RowTrainingConfig,
    "popularity": RowTrainingConfig,
}
TRAINED = {
    "sasrec": (SASRecConfig, SASRecRecommender, SASRecTrainer),
    "lightgcn": (LightGCNConfig, LightGCNRecommender, LightGCNTrainer),
}


@dataclass
class BaselineArguments(DatasetArguments):
    """Which baseline.

    Args:
        model: ``sasrec``, ``lightgcn``, ``knn`` or ``popularity``.
        model_options: fields of the model's configuration, as JSON; of ``knn``: ``num_neighbors``, ``decay``,
            ``shrinkage``, the last two by default those that are best on validation users.
        export_embeddings: safetensors file for the learned item and user embeddings. A user's is that of its training
            history.
        export_users: with users' embeddings; otherwise only items'.
        include_users: publish LightGCN's user vectors and ids with the model. Otherwise users are their histories.
        resume: continue from the last checkpoint in ``--output_dir``, if there is one.
    """

    model: str = field(default=None, metadata={"help": "`sasrec`, `lightgcn`, `knn` or `popularity`"})
    model_options: dict[str, Any] | str | None = field(
        default_factory=dict, metadata={"help": "fields of the model's configuration, as JSON"}
    )
    export_embeddings: str | None = field(
        default=None, metadata={"help": "safetensors file for the learned item and user embeddings"}
    )
    export_users: bool = field(default=True, metadata={"help": "--export_embeddings holds those of users, too"})
    include_users: bool = field(default=False, metadata={"help": "keep LightGCN's user vectors and ids in the model"})
    resume: bool = field(default=False, metadata={"help": "continue from the last checkpoint in --output_dir"})

    def __post_init__(self):
        if self.model not in TRAINING_CONFIGS:
            raise ValueError(f"--model must be one of {sorted(TRAINING_CONFIGS)}, got {self.model!r}")
        self.model_options = json_object("model_options", self.model_options)
        if self.export_embeddings and self.model in ("knn", "popularity"):
            raise ValueError(f"--export_embeddings: {self.model} has no embeddings")
        if self.include_users and self.model != "lightgcn":
            raise ValueError(f"--include_users: {self.model} has no vectors of users")

    @property
    def changed(self) -> dict[str, Any]:
        """Options that somebody set."""
        return changed_options(self, BaselineArguments(dataset="", model=self.model))

    def fields(self, config: type[PreTrainedConfig]) -> dict[str, Any]:
        """Fields of the model's configuration that somebody set.

        Raises:
            ValueError: ``--model_options`` names a field that it does not have, or a value that it cannot have.
        """
        unknown = sorted(set(self.model_options) - set(config().to_dict()))
        if unknown:
            raise ValueError(f"--model_options: {config.__name__} has no {unknown}")
        with naming("model_options"):
            config(**self.model_options)
        return dict(self.model_options)


def train(
    arguments: BaselineArguments, training: RowTrainingConfig, dataset: RecDataset, split: RecSplit, report: dict
) -> tuple[dict[str, float], TrainingPushes]:
    """Train, or go on training, and save; returns the validation metrics of the best checkpoint, and the pushes."""
    config, recommender_class, trainer_class = TRAINED[arguments.model]
    options = arguments.fields(config)
    if arguments.include_users:
        options["include_users"] = True
    with naming("model_options"):
        recommender = recommender_class.from_dataset(dataset, **options)
    pushes = TrainingPushes(training, lambda folder: trainer.save_recommender(folder))
    trainer = trainer_class(recommender, training, split=split, callbacks=[pushes])
    recommender.trained_on(dataset, split, **arguments.facts)
    describe_run(training, arguments.model, dataset, recommender.training_data, arguments.changed, trainer.model)
    result = trainer.train(resume_from_checkpoint=pushes.checkpoint() if arguments.resume else None)
    report |= {"train": result.metrics, "log": trainer.state.log_history}
    metrics = trainer.rank()
    trainer.save_recommender(training.output_dir)
    if arguments.export_embeddings:
        users = trainer.user_vectors() if arguments.export_users else None
        if training.should_save:
            items = recommender.item_vectors()
            save_embeddings(arguments.export_embeddings, dataset, items=items, users=users, split=split)
    return metrics, pushes


def count(
    arguments: BaselineArguments, training: RowTrainingConfig, dataset: RecDataset, split: RecSplit, report: dict
) -> tuple[dict[str, float], TrainingPushes]:
    """Fit popularity or nearest neighbours, and save; returns the validation metrics, and pushes that push nothing."""
    cases = validation_cases(split, training.eval_users)
    if arguments.model == "popularity":
        if arguments.model_options:
            raise ValueError(f"--model_options: popularity has no options, got {sorted(arguments.model_options)}")
        recommender = PopularityRecommender.fit(dataset, split)
        metrics = recommender.evaluate(cases).metrics
    else:
        unknown = sorted(set(arguments.model_options) - {"num_neighbors", *GRID})
        if unknown:
            raise ValueError(f"--model_options: knn has no {unknown}")
        arguments.fields(ItemKNNConfig)  # before anything is counted: whether the values are such
        recommender, tried = ItemKNNRecommender.search(dataset, split, cases, **arguments.model_options)
        best = max(tried, key=lambda each: each["ndcg@10"])
        chosen = {name: best[name] for name in ("shrinkage", "decay")}
        metrics = {name: value for name, value in best.items() if name not in chosen}
        logger.info("shrinkage %g, decay %g: best of %d on validation users", *chosen.values(), len(tried))
        report |= {"tried": tried, "chosen": chosen}
    recommender.trained_on(dataset, split, **arguments.facts)
    recommender.save_pretrained(training.output_dir, is_main_process=training.should_save)
    return metrics, TrainingPushes(training, recommender.save_pretrained)


def run(arguments: BaselineArguments, training: RowTrainingConfig) -> dict[str, float]:
    """Train or fit, save the recommender folder, and report; returns the validation metrics."""
    began, report = time.perf_counter(), {}
    set_seed(training.seed)
    dataset, split = arguments.load()
    split.require_cases("validation")  # by which the best is chosen
    work = train if arguments.model in TRAINED else count
    metrics, pushes = work(arguments, training, dataset, split, report)
    # Only now: a second set of training arguments sets up the devices anew.
    defaults = TRAINING_CONFIGS[arguments.model](output_dir=training.output_dir)
    config = {**arguments.changed, **changed_options(training, defaults), "model": arguments.model}
    finish_run(training, pushes, metrics, began, {"config": config, **report})
    return metrics


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    # Which options there are depends on the model, which may stand in the YAML file; --help shows SASRec's by default.
    asked = [option for option in argv if option not in ("-h", "--help")]
    if asked != argv and "--model" not in asked and "--config" not in asked:
        asked += ["--model", "sasrec"]
    if asked != argv and "--dataset" not in asked:
        asked += ["--dataset", "demo"]
    first = OptionParser((BaselineArguments,)).parse_args_and_config(asked, return_remaining_strings=True)[0]
    parser = OptionParser((BaselineArguments, TRAINING_CONFIGS[first.model]))
    arguments, training = parser.parse_args_and_config(argv)
    start_run(arguments)
    run(arguments, training)
    end_processes()
    return 0
