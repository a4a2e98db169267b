"""``train lcrec``: alignment-tune a stock or pretrained causal LM on item indices."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from transformers import set_seed
from trl import ModelConfig, get_peft_config

from ..generation.level_head import NORMALIZATIONS
from ..methods.lcrec.adapters import TRAIN_INDEX_ROWS, with_index_rows
from ..methods.lcrec.index_embeddings import METHODS as INDEX_INITS
from ..methods.lcrec.plan import lcrec_sizes, lcrec_warnings
from ..methods.lcrec.prompt import SEQ_FORMS
from ..methods.lcrec.recommender import LCRecRecommender
from ..methods.lcrec.trainer import LCRecTrainer
from ..methods.lcrec.trainer_config import LCRecTrainingConfig
from ..training.liger import add_liger_kernels
from ..training.plan import plan_training
from ..training.pushes import TrainingPushes
from .backbones import BackboneArguments
from .language_model_run import train_and_save
from .models import check_base
from .option_parser import OptionParser
from .options import end_processes, start_run

logger = logging.getLogger("hf_llmrec")


@dataclass
class LCRecArguments(BackboneArguments):
    """What to train on, and what to train.

    Args:
        index: folder or Hub id of an `ItemIndex`, made by ``build-index``.
        train_index_rows: with ``--use_peft``: ``rows`` trains only the index tokens' embedding rows beside the
            adapters, ``all`` the whole embedding matrices, ``none`` neither.
        seq_form: ``packed`` (every position of a sequence is a target) or ``prefix`` (the paper's one target per row).
        packed_prefix: text before the history in the packed form.
        max_history: how many of the latest items of a history are read.
        num_beams: beams of the ranking metrics during training, and the default stored with the model.
        normalize: normalisation of decoding scores stored with the model: ``vocab``, ``level`` or ``children``.
        index_init: how new embedding rows start: ``codebook`` or ``mean_noise``.
        replace_index: with ``--model_name_or_path`` of an LC-Rec model that was trained with another index: draw all
            index rows anew. Without it another index is refused, and rows of tokens that the model has stay as learned.
        others: see `BackboneArguments`.
    """

    index: str = field(default=None, metadata={"help": "folder or Hub id of an item index (build-index)"})
    train_index_rows: str = field(default="rows", metadata={"help": "with --use_peft: `rows`, `all` or `none`"})
    seq_form: str | None = field(
        default=None, metadata={"help": "`packed` or `prefix` (the paper's) (default: the model's own, else packed)"}
    )
    packed_prefix: str | None = field(
        default=None, metadata={"help": "text before the history in the packed form (default: a few words)"}
    )
    max_history: int | None = field(
        default=None, metadata={"help": "how many of the latest items of a history are read (default: 20)"}
    )
    num_beams: int | None = field(
        default=None, metadata={"help": "beams of ranking, during training and stored with the model (default: 20)"}
    )
    normalize: str | None = field(
        default=None,
        metadata={"help": "normalisation of decoding scores: `vocab`, `level` or `children` (default: level)"},
    )
    index_init: str = field(
        default="codebook", metadata={"help": "how new embedding rows start: `codebook` or `mean_noise`"}
    )
    replace_index: bool = field(
        default=False, metadata={"help": "draw the rows of a model that was trained with another index anew"}
    )

    def __post_init__(self):
        super().__post_init__()
        if not self.index:
            raise ValueError("--index is required: a folder made by build-index")
        choices = {
            "seq_form": (None, *SEQ_FORMS),
            "index_init": INDEX_INITS,
            "normalize": (None, *NORMALIZATIONS),
            "train_index_rows": TRAIN_INDEX_ROWS,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                words = ", ".join(each for each in allowed if each)
                raise ValueError(f"--{name} must be one of {words}, got {getattr(self, name)!r}")
        if self.num_beams is not None and self.num_beams < 10:
            raise ValueError(
                f"--num_beams must be at least 10, the longest list that is evaluated; got {self.num_beams}"
            )

    def prompt(self, training: LCRecTrainingConfig) -> dict[str, Any]:
        """Fields of the prompt that somebody set."""
        fields = {
            "form": self.seq_form,
            "packed_prefix": self.packed_prefix,
            "max_history": self.max_history,
            "max_length": training.max_length,
            "chat": self.use_chat_template,
        }
        return {name: value for name, value in fields.items() if value is not None}


def run(arguments: LCRecArguments, training: LCRecTrainingConfig, model_config: ModelConfig) -> dict[str, float]:
    """Train and save; returns the validation metrics of the saved model, or with ``--dry_run`` the plan's figures."""
    began = time.perf_counter()
    set_seed(training.seed)  # before the backbone and the adapters are drawn; the trainer seeds only what follows it
    dataset, split = arguments.load()
    split.require_cases("validation")  # by which the best checkpoint is chosen
    base = model_config.model_name_or_path
    check_base(base, arguments, dataset, split, revision=model_config.model_revision)
    recommender = LCRecRecommender.from_backbone(
        arguments.source(model_config),
        index=arguments.index,
        dataset=dataset,
        split=split,
        prompt=arguments.prompt(training),
        num_beams=arguments.num_beams,
        normalize=arguments.normalize,
        index_init=arguments.index_init,
        replace_index=arguments.replace_index,
        other_data=arguments.other_data,
        seed=training.seed,
        **arguments.loading(model_config, training),
    )
    model, tokenizer = recommender.model, recommender.tokenizer
    rows = LCRecTrainer.build_train_dataset(recommender, split, training)
    logger.info("training rows per epoch: %s", rows.rows_per_direction)
    adapters = get_peft_config(model_config)
    if adapters is not None:
        adapters = with_index_rows(adapters, model, tokenizer, arguments.train_index_rows)
    plan = plan_training(
        training,
        model,
        adapters,
        rows,
        lambda batch: lcrec_sizes(batch, tokenizer, training.index_loss),
        target_per_item=recommender.prompt.form == "packed",
        assume=arguments.assume,
        warnings=lcrec_warnings(recommender, adapters, arguments.train_index_rows),
    )
    if arguments.dry_run:
        return plan
    if arguments.liger_kernels:
        add_liger_kernels(model)

    def make_trainer(pushes: TrainingPushes) -> LCRecTrainer:
        given = {"split": split, "train_dataset": rows, "peft_config": adapters, "callbacks": [pushes]}
        return LCRecTrainer(recommender, training, **given)

    def report(trainer: LCRecTrainer) -> dict[str, Any]:
        return {"task_rows": rows.rows_per_direction, "decoding_fallback": trainer.decoding_fallback}

    return train_and_save(
        recommender,
        arguments,
        training,
        model_config,
        make_trainer,
        dataset=dataset,
        split=split,
        defaults=LCRecArguments(dataset="", index=" "),
        began=began,
        report=report,
    )


def main(argv: list[str] | None = None) -> int:
    parser = OptionParser((LCRecArguments, LCRecTrainingConfig, ModelConfig))
    arguments, training, model_config = parser.parse_args_and_config(sys.argv[1:] if argv is None else argv)
    start_run(arguments)
    run(arguments, training, model_config)
    end_processes()
    return 0
