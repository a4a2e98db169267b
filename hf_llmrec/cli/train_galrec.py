"""``train galrec``: train GAL-Rec on a causal LM, pretrained or from scratch."""

from __future__ import annotations

import logging
import time

from transformers import set_seed
from trl import ModelConfig  # pyright: ignore[reportPrivateImportUsage]  # trl exports it lazily

from ..methods.galrec.adapters import with_own_layers
from ..methods.galrec.plan import galrec_sizes, galrec_warnings
from ..methods.galrec.start_defaults import GALREC_PROMPT
from ..methods.galrec.trainer import GALRecTrainer
from ..methods.galrec.trainer_config import GALRecTrainingConfig
from ..training.liger import add_liger_kernels
from ..training.plan import plan_training
from ..training.pushes import TrainingPushes
from .data_checks import check_base
from .galrec_continuation import continue_galrec
from .galrec_model import galrec_from_backbone
from .galrec_options import GALRecArguments
from .language_model_run import lora_config, train_and_save
from .processes import run_command

logger = logging.getLogger("hf_llmrec")


def run(arguments: GALRecArguments, training: GALRecTrainingConfig, model_config: ModelConfig) -> dict[str, float]:
    """Train and save; returns the validation metrics of the saved model, or with ``--dry_run`` the plan's figures."""
    began = time.perf_counter()
    set_seed(training.seed)  # before weights are initialised: the trainer sets the seed only later
    training.start_from(pretrained=bool(model_config.model_name_or_path))
    dataset, split = arguments.load()
    split.require_cases("validation")  # which choose the best checkpoint
    recommender = continue_galrec(arguments, model_config, training, dataset, split)
    if recommender is None:
        base = model_config.model_name_or_path
        check_base(base, arguments, dataset, split, revision=model_config.model_revision)
        recommender = galrec_from_backbone(arguments, model_config, training, dataset, split)
    model = recommender.model
    rows = GALRecTrainer.build_train_dataset(recommender, split, training)
    logger.info("%d training examples per epoch; %s", len(rows), recommender.prompt)
    adapters = lora_config(model_config)
    if adapters is not None:
        adapters = with_own_layers(adapters, model)
    prompt = recommender.prompt.to_dict()
    plan = plan_training(
        training,
        model,
        adapters,
        rows,
        lambda batch: galrec_sizes(batch, recommender.trunk.config),
        target_per_item=True,
        momentum=training.has_graph_losses,
        taken={name: prompt[name] for name in GALREC_PROMPT if name not in arguments.prompt(training)},
        assume=arguments.assume,
        warnings=galrec_warnings(recommender.layout),
    )
    if arguments.dry_run:
        return plan
    if arguments.liger_kernels:
        add_liger_kernels(model.model.language_model)

    def make_trainer(pushes: TrainingPushes) -> GALRecTrainer:
        options = {"split": split, "train_dataset": rows, "peft_config": adapters, "callbacks": [pushes]}
        return GALRecTrainer(recommender, training, **options)

    return train_and_save(
        recommender,
        arguments,
        training,
        model_config,
        make_trainer,
        dataset=dataset,
        began=began,
    )


def main(argv: list[str] | None = None) -> int:
    return run_command((GALRecArguments, GALRecTrainingConfig, ModelConfig), run, argv)
