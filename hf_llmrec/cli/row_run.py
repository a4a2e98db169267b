"""What commands that train on rows of items share: train, save the recommender, export its vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ..data.embedding_files import save_embeddings
from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..training.pushes import TrainingPushes
from ..training.row_config import RowTrainingConfig
from .results import describe_run


class RowArguments(Protocol):
    """The options that such a command reads."""

    export_embeddings: str | None
    export_users: bool
    resume: bool

    @property
    def facts(self) -> dict[str, Any]:
        """How the data was made."""
        ...

    @property
    def changed(self) -> dict[str, Any]:
        """Options that differ from their defaults."""
        ...


@dataclass(frozen=True)
class SavedModel:
    """A model that was trained or fitted, and saved.

    Attributes:
        metrics: on validation users, of the saved model.
        pushes: the run's pushes to the Hub; there are none while a model is fitted without training.
        report: further entries of ``training_report.json``.
    """

    metrics: dict[str, float]
    pushes: TrainingPushes
    report: dict[str, Any]


def train_and_save(
    trainer_class: Any,
    recommender: Any,
    arguments: RowArguments,
    training: RowTrainingConfig,
    dataset: RecDataset,
    split: RecSplit,
) -> SavedModel:
    """Train, or resume training, and save the recommender of the best checkpoint and the exported vectors.

    Args:
        trainer_class: trainer of the recommender's method.
        recommender: the untrained one.
        arguments: options of the command.
        training: options of the trainer.
        dataset: what to train on.
        split: what is held out.
    """
    pushes = TrainingPushes(training, lambda folder: trainer.save_recommender(folder))
    trainer = trainer_class(recommender, training, split=split, callbacks=[pushes])
    recommender.training_data |= arguments.facts
    describe_run(training, recommender.method, dataset, recommender.training_data, arguments.changed, trainer.model)
    result = trainer.train(resume_from_checkpoint=pushes.checkpoint() if arguments.resume else None)
    report = {"train": result.metrics, "log": trainer.state.log_history}
    metrics = trainer.rank()
    trainer.save_recommender(training.output_dir)
    if arguments.export_embeddings:
        users = trainer.user_vectors() if arguments.export_users else None
        if training.should_save:
            items = recommender.item_vectors()
            save_embeddings(arguments.export_embeddings, dataset, items=items, users=users, split=split)
    return SavedModel(metrics, pushes, report)
