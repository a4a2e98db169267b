"""Options of ``train sasrec|lightgcn|knn|popularity``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedConfig

from ..methods.lightgcn.trainer_config import LightGCNTrainingConfig
from ..methods.sasrec.trainer_config import SASRecTrainingConfig
from ..training.row_config import RowTrainingConfig
from .json_options import JsonObject, json_object, naming
from .options import DatasetArguments
from .results import changed_options

TRAINING_CONFIGS: dict[str, type[RowTrainingConfig]] = {
    "sasrec": SASRecTrainingConfig,
    "lightgcn": LightGCNTrainingConfig,
    "knn": RowTrainingConfig,
    "popularity": RowTrainingConfig,
}


@dataclass
class BaselineArguments(DatasetArguments):
    """Which baseline to train or fit. The other parameters are those of [`DatasetArguments`].

    Args:
        model: ``sasrec``, ``lightgcn``, ``knn`` or ``popularity``. Required.
        model_options: fields of the model's configuration, as JSON; for ``knn`` ``num_neighbors``, ``decay`` and
            ``shrinkage``, of which the last two are by default those that are best on validation users.
        export_embeddings: safetensors file to write with the learned item and user embeddings; a user's embedding is
            that of the user's training history. Default: no file.
        export_users: whether ``export_embeddings`` holds user embeddings, too.
        include_users: publish LightGCN's user vectors and ids with the model. Without them, the published model
            represents users by their histories.
        resume: continue from the last checkpoint in ``--output_dir``, if there is one.
    """

    model: str = field(default="", metadata={"help": "`sasrec`, `lightgcn`, `knn` or `popularity`"})
    model_options: JsonObject = field(
        default_factory=dict, metadata={"help": "fields of the model's configuration, as JSON"}
    )
    export_embeddings: str | None = field(
        default=None, metadata={"help": "safetensors file to write with the learned item and user embeddings"}
    )
    export_users: bool = field(default=True, metadata={"help": "write user embeddings to --export_embeddings, too"})
    include_users: bool = field(default=False, metadata={"help": "keep LightGCN's user vectors and ids in the model"})
    resume: bool = field(default=False, metadata={"help": "continue from the last checkpoint in --output_dir"})

    def __post_init__(self):
        if self.model not in TRAINING_CONFIGS:
            raise ValueError(f"--model must be one of {sorted(TRAINING_CONFIGS)}, got {self.model or None!r}")
        self.model_options = json_object("model_options", self.model_options)
        if self.export_embeddings and self.model in ("knn", "popularity"):
            raise ValueError(f"--export_embeddings: {self.model} has no embeddings")
        if self.include_users and self.model != "lightgcn":
            raise ValueError(f"--include_users: {self.model} has no vectors of users")

    @property
    def changed(self) -> dict[str, Any]:
        """Options that differ from their defaults."""
        return changed_options(self, BaselineArguments(dataset="", model=self.model))

    def fields(self, config: type[PreTrainedConfig]) -> dict[str, Any]:
        """The fields of the model's configuration that ``--model_options`` sets.

        Args:
            config: the configuration's class.

        Raises:
            ValueError: the class has no such field, or refuses a value.
        """
        unknown = sorted(set(self.model_options) - set(config().to_dict()))
        if unknown:
            raise ValueError(f"--model_options: {config.__name__} has no {unknown}")
        with naming("model_options"):
            config(**self.model_options)
        return dict(self.model_options)
