"""``train lcrec``: alignment-tune a causal LM, pretrained or from scratch, on item indices."""

from __future__ import annotations

import logging
import time
from typing import Any

from transformers import set_seed
from trl import ModelConfig  # pyright: ignore[reportPrivateImportUsage]  # trl exports it lazily

from ..methods.lcrec.adapters import with_index_rows
from ..methods.lcrec.plan import lcrec_sizes, lcrec_warnings
from ..methods.lcrec.recommender import LCRecRecommender
from ..methods.lcrec.trainer import LCRecTrainer
from ..methods.lcrec.trainer_config import LCRecTrainingConfig
from ..training.liger import add_liger_kernels
from ..training.plan import plan_training
from ..training.pushes import TrainingPushes
from .data_checks import check_base
from .language_model_run import lora_config, train_and_save
from .lcrec_options import LCRecArguments
from .processes import run_command

logger = logging.getLogger("hf_llmrec")


def run(arguments: LCRecArguments, training: LCRecTrainingConfig, model_config: ModelConfig) -> dict[str, float]:
    """Train and save; returns the validation metrics of the saved model, or with ``--dry_run`` the plan's figures."""
    began = time.perf_counter()
    set_seed(training.seed)  # before weights are initialised: the trainer sets the seed only later
    dataset, split = arguments.load()
    split.require_cases("validation")  # which choose the best checkpoint
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
    adapters = lora_config(model_config)
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
        options = {"split": split, "train_dataset": rows, "peft_config": adapters, "callbacks": [pushes]}
        return LCRecTrainer(recommender, training, **options)

    def report(trainer: LCRecTrainer) -> dict[str, Any]:
        return {"task_rows": rows.rows_per_direction, "decoding_fallback": trainer.decoding_fallback}

    return train_and_save(
        recommender,
        arguments,
        training,
        model_config,
        make_trainer,
        dataset=dataset,
        began=began,
        report=report,
    )


def main(argv: list[str] | None = None) -> int:
    return run_command((LCRecArguments, LCRecTrainingConfig, ModelConfig), run, argv)
