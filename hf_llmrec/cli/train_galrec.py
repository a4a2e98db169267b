"""``train galrec``: train GAL-Rec on a stock or pretrained causal LM."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

from peft import PeftModel
from transformers import set_seed
from trl import ModelConfig

from ..data.graph import InteractionGraph
from ..data.graph_files import save_graph
from ..evaluation.evaluator import evaluate_ranker
from ..methods.galrec.prompt import GALRecLayout
from ..methods.galrec.recommender import GALRecRecommender
from ..methods.galrec.rows import GALRecCaseRows, GALRecExamples
from ..methods.galrec.trainer import GALRecTrainer
from ..methods.galrec.trainer_config import GALRecTrainingConfig
from ..training.liger import add_liger_kernels
from .galrec_continuation import continue_galrec
from .galrec_model import GALRecArguments, build_model, external_item_vectors, peft_config
from .language_model_run import train_and_save
from .method_plans import galrec_sizes, galrec_warnings
from .models import check_base
from .option_parser import OptionParser
from .options import end_processes, start_run
from .plan import plan_training
from .training_pushes import TrainingPushes

logger = logging.getLogger("hf_llmrec")


def run(arguments: GALRecArguments, training: GALRecTrainingConfig, model_config: ModelConfig) -> dict[str, float]:
    """Train and save; returns the validation metrics of the saved model, or with ``--dry_run`` the plan's figures."""
    began = time.perf_counter()
    set_seed(training.seed)  # before the backbone and the adapters are drawn; the trainer seeds only what follows it
    training.start_from(pretrained=bool(model_config.model_name_or_path))
    dataset, split = arguments.load()
    split.require_cases("validation")  # by which the best checkpoint is chosen
    found = continue_galrec(arguments, model_config, training, dataset, split)
    if found is None:
        base = model_config.model_name_or_path
        check_base(base, arguments, dataset, split, revision=model_config.model_revision)
        vectors = external_item_vectors(arguments, dataset, training.output_dir)
        found = *build_model(arguments, model_config, training, dataset, split, vectors), training.prompt()
    model, tokenizer, prompt = found
    graph = InteractionGraph.from_split(split, dataset.num_items)
    layout = GALRecLayout(prompt, model.config, tokenizer, dataset.titles)
    # Sets the vectors of the graph's users, too, which training needs.
    ranker = GALRecRecommender(model, layout, dataset.item_ids)
    if not arguments.dry_run:
        ranker.attach_graph(graph, dataset.user_ids)
    rows = GALRecExamples(
        split,
        graph,
        layout,
        pairs=training.has_graph_losses or training.lm_loss_weight > 0,
        audience_size=training.audience_size,
        edges_per_user=training.edges_per_user,
        history_targets=training.history_targets,
        latest_share=training.latest_share,
        item_dropout=training.item_dropout,
        neighbor_dropout=training.neighbor_dropout,
        seed=training.seed,
    )
    logger.info("%d training examples per epoch; %s", len(rows), prompt)
    adapters = peft_config(model_config, model)
    plan = plan_training(
        arguments,
        training,
        model,
        adapters,
        rows,
        lambda batch: galrec_sizes(batch, model.config),
        target_per_item=True,
        momentum=training.has_graph_losses,
        warnings=galrec_warnings(training, layout),
    )
    if arguments.dry_run:
        return plan
    if arguments.liger_kernels:
        add_liger_kernels(model.model.language_model)
    cases = split.validation.sample(training.eval_users, seed=0) if training.eval_users else split.validation

    def ranking_metrics(current_model) -> dict[str, float]:
        whole = current_model.get_base_model() if isinstance(current_model, PeftModel) else current_model
        ranker.model = whole.base_model
        return evaluate_ranker(ranker, cases).metrics

    def make_trainer(pushes: TrainingPushes) -> GALRecTrainer:
        return GALRecTrainer(
            model,
            training,
            rows=rows,
            processing_class=tokenizer,
            eval_rows=GALRecCaseRows(cases, graph, layout),
            ranking_metrics=ranking_metrics,
            peft_config=adapters,
            callbacks=[pushes],
        )

    def save_beside(folder: Path) -> None:
        if arguments.include_graph:
            save_graph(folder, graph)

    return train_and_save(
        "galrec",
        arguments,
        training,
        model_config,
        make_trainer,
        dataset=dataset,
        tokenizer=tokenizer,
        settings={"prompt": layout.prompt.to_dict(), "graph": arguments.include_graph},
        defaults=GALRecArguments(dataset=""),
        began=began,
        save_beside=save_beside,
    )


def main(argv: list[str] | None = None) -> int:
    parser = OptionParser((GALRecArguments, GALRecTrainingConfig, ModelConfig))
    arguments, training, model_config = parser.parse_args_and_config(sys.argv[1:] if argv is None else argv)
    start_run(arguments)
    run(arguments, training, model_config)
    end_processes()
    return 0
