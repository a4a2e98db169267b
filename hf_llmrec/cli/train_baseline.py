"""``train sasrec|lightgcn|knn|popularity``: baselines as recommender folders."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, set_seed

from ..data.embedding_files import save_embeddings
from ..data.recommender_folder import ItemCatalog
from ..data.recommender_saving import save_recommender
from ..evaluation.evaluator import evaluate_ranker
from ..methods.dense_recommender import DenseRecommender, pad_histories
from ..methods.item_knn.configuration_item_knn import ItemKNNConfig
from ..methods.item_knn.fit import fit_item_knn
from ..methods.lightgcn.configuration_lightgcn import LightGCNConfig
from ..methods.lightgcn.trainer import LightGCNNetwork, LightGCNTrainer
from ..methods.lightgcn.trainer_config import LightGCNTrainingConfig
from ..methods.popularity.fit import fit_popularity
from ..methods.sasrec.configuration_sasrec import SASRecConfig
from ..methods.sasrec.modeling_sasrec import SASRecModel
from ..methods.sasrec.trainer import SASRecTrainer
from ..methods.sasrec.trainer_config import SASRecTrainingConfig
from ..prompting.item_sequences import CaseRows, ItemSequenceRows
from ..training.row_config import RowTrainingConfig
from .list_options import json_object, naming
from .option_parser import OptionParser
from .options import DatasetArguments, end_processes, start_run
from .results import changed_options, describe_run
from .saving import finish_run
from .training_pushes import TrainingPushes

logger = logging.getLogger("hf_llmrec")
# Of items, (num_items, d), and of users, (num_users, d), where they are wanted.
Embeddings = tuple[np.ndarray, np.ndarray | None]
TRAINING_CONFIGS: dict[str, type[RowTrainingConfig]] = {
    "sasrec": SASRecTrainingConfig,
    "lightgcn": LightGCNTrainingConfig,
    "knn": RowTrainingConfig,
    "popularity": RowTrainingConfig,
}
# What is tried on validation users when nobody chose.
KNN_GRID = {"decay": (0.0, 0.3, 0.5, 0.7, 0.85, 1.0), "shrinkage": (0.0, 5.0, 20.0)}


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

    def config(self, kind: type, **sizes: int):
        """The model's configuration.

        Raises:
            ValueError: ``--model_options`` names a field that it does not have.
        """
        unknown = sorted(set(self.model_options) - set(kind().to_dict()))
        if unknown:
            raise ValueError(f"--model_options: {kind.__name__} has no {unknown}")
        with naming("model_options"):
            return kind(**{**sizes, **self.model_options})


class Run:
    """One run: its data, and the validation ranking that every baseline is chosen by."""

    def __init__(self, arguments: BaselineArguments, training: RowTrainingConfig):
        self.arguments, self.training = arguments, training
        self.dataset, self.split = arguments.load()
        self.cases = self.split.require_cases("validation")
        if training.eval_users:
            self.cases = self.cases.sample(training.eval_users, seed=0)
        self.report: dict[str, Any] = {}
        self.max_history: int | None = None
        self.options = changed_options(arguments, BaselineArguments(dataset="", model=arguments.model))
        # What `save` gets while a model is trained.
        self.model_so_far: Callable[[], PreTrainedModel] | None = None
        self.pushes = TrainingPushes(training, lambda folder: self.save(self.model_so_far(), folder))

    def validate(self, model: PreTrainedModel) -> dict[str, float]:
        """Ranking metrics on the validation users."""
        ranker = DenseRecommender(model, self.dataset.item_ids, max_history=self.max_history)
        return evaluate_ranker(ranker, self.cases).metrics

    def train(self, trainer) -> dict[str, float]:
        """Train, or go on training; returns the validation metrics of the best checkpoint."""
        describe_run(self.training, self.arguments.model, self.dataset, self.data_facts, self.options, trainer.model)
        checkpoint = self.pushes.checkpoint() if self.arguments.resume else None
        result = trainer.train(resume_from_checkpoint=checkpoint)
        self.report |= {"train": result.metrics, "log": trainer.state.log_history}
        return trainer.rank()

    @property
    def data_facts(self) -> dict[str, Any]:
        return self.arguments.data_facts(self.dataset)

    def save(self, model: PreTrainedModel, folder: Path) -> None:
        """Write a model as a recommender folder."""
        is_writer = self.training.should_save
        settings = {"dataset": self.dataset.name, "max_history": self.max_history, "data": self.data_facts}
        if self.arguments.include_users:
            settings["user_ids"] = self.dataset.user_ids

        def save_model(staging: Path) -> None:
            if is_writer:
                model.save_pretrained(staging)

        catalog = ItemCatalog.of_dataset(self.dataset)
        save_recommender(folder, self.arguments.model, catalog, settings, save_model, is_writer=is_writer)

    def training_histories(self, model: PreTrainedModel, states: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
        """float32 (num_users, d): ``states`` of every user's right-padded training items, in batches."""
        longest = self.max_history or int(np.diff(self.split.train_indptr).max())
        found = []
        for start in range(0, self.dataset.num_users, 512):
            users = range(start, min(start + 512, self.dataset.num_users))
            items = [self.split.train_sequence(user)[-longest:] for user in users]
            input_ids = pad_histories(items, self.dataset.num_items)
            with torch.no_grad():
                found.append(states(input_ids.to(model.device)).float().cpu().numpy())
        return np.concatenate(found)


def run_sasrec(run: Run) -> tuple[PreTrainedModel, dict[str, float], Embeddings | None]:
    """(model, validation metrics, (item, user) embeddings if they are wanted)."""
    args = run.training
    model = SASRecModel(run.arguments.config(SASRecConfig, num_items=run.dataset.num_items))
    run.max_history = model.config.max_position_embeddings
    rows = ItemSequenceRows(run.split, max_length=run.max_history, item_dropout=args.item_dropout, seed=args.seed)
    trainer = SASRecTrainer(
        model,
        args,
        rows=rows,
        eval_rows=CaseRows(run.cases, max_length=run.max_history),
        ranking_metrics=run.validate,
        callbacks=[run.pushes],
    )
    run.model_so_far = lambda: model
    metrics = run.train(trainer)
    model.eval()
    if not run.arguments.export_embeddings:
        return model, metrics, None
    users = run.training_histories(model, model.user_vectors) if run.arguments.export_users else None
    return model, metrics, (model.item_vectors().detach().float().cpu().numpy(), users)


def run_lightgcn(run: Run) -> tuple[PreTrainedModel, dict[str, float], Embeddings | None]:
    """(model, validation metrics, (item, user) embeddings if they are wanted)."""
    sizes = {"num_items": run.dataset.num_items, "num_users": run.dataset.num_users}
    network = LightGCNNetwork(run.split, run.arguments.config(LightGCNConfig, **sizes))
    trainer = LightGCNTrainer(
        network,
        run.training,
        split=run.split,
        ranking_metrics=lambda module: run.validate(module.export()),
        callbacks=[run.pushes],
    )
    run.model_so_far = lambda: network.export(with_users=run.arguments.include_users)
    metrics = run.train(trainer)
    with_users = network.export(with_users=True)
    items, users = (each.detach().cpu().numpy() for each in (with_users.item_embeddings, with_users.user_embeddings))
    embeddings = items, users if run.arguments.export_users else None
    model = with_users if run.arguments.include_users else network.export()
    return model, metrics, embeddings if run.arguments.export_embeddings else None


def run_counting(run: Run) -> tuple[PreTrainedModel, dict[str, float], None]:
    """Popularity or nearest neighbours; decay and shrinkage that nobody chose are those best on validation users."""
    num_items, options = run.dataset.num_items, run.arguments.model_options
    if run.arguments.model == "popularity":
        if options:
            raise ValueError(f"--model_options: popularity has no options, got {sorted(options)}")
        model = fit_popularity(run.split, num_items)
        return model, run.validate(model), None
    unknown = sorted(set(options) - {"num_neighbors", *KNN_GRID})
    if unknown:
        raise ValueError(f"--model_options: knn has no {unknown}")
    run.arguments.config(ItemKNNConfig)  # before anything is counted: whether the values are such
    grid = {name: (options[name],) if name in options else values for name, values in KNN_GRID.items()}
    tried, best = [], None
    for shrinkage in grid["shrinkage"]:
        model = fit_item_knn(run.split, num_items, **{**options, "shrinkage": shrinkage, "decay": 1.0})
        for decay in grid["decay"]:
            model.config.decay = decay
            metrics = run.validate(model)
            tried.append({"shrinkage": shrinkage, "decay": decay, **metrics})
            if best is None or metrics["ndcg@10"] > best[0]["ndcg@10"]:
                best = metrics, shrinkage, decay, model
    metrics, shrinkage, decay, model = best
    model.config.decay = decay
    logger.info("shrinkage %g, decay %g: best of %d on validation users", shrinkage, decay, len(tried))
    run.report |= {"tried": tried, "chosen": {"shrinkage": shrinkage, "decay": decay}}
    return model, metrics, None


def run(arguments: BaselineArguments, training: RowTrainingConfig) -> dict[str, float]:
    """Train or fit, save the recommender folder, and report; returns the validation metrics."""
    began = time.perf_counter()
    set_seed(training.seed)
    one = Run(arguments, training)
    runs = {"sasrec": run_sasrec, "lightgcn": run_lightgcn, "knn": run_counting, "popularity": run_counting}
    model, metrics, embeddings = runs[arguments.model](one)
    one.save(model, Path(training.output_dir))
    if embeddings is not None and training.should_save:
        items, users = embeddings
        save_embeddings(arguments.export_embeddings, one.dataset, items=items, users=users, split=one.split)
    # Only now: a second set of training arguments sets up the devices anew.
    defaults = TRAINING_CONFIGS[arguments.model](output_dir=training.output_dir)
    config = {**one.options, **changed_options(training, defaults), "model": arguments.model}
    finish_run(training, one.pushes, metrics, began, {"config": config, **one.report})
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
