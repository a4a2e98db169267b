"""``train lcrec``: alignment-tune a stock or pretrained causal LM on item indices."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from transformers import PreTrainedTokenizerBase, set_seed
from trl import ModelConfig, get_peft_config

from ..data.item_index import ItemIndex
from ..data.same_data import check_index
from ..evaluation.evaluator import evaluate_ranker
from ..methods.lcrec.index_embeddings import grow_embeddings, initialize_index_embeddings, learned_index_tokens
from ..methods.lcrec.recommender import LCRecRecommender
from ..methods.lcrec.rows import LCRecTaskRows, SequenceTargetRows
from ..methods.lcrec.tokenization_lcrec import LCRecTokenizer
from ..methods.lcrec.trainer import LCRecTrainer
from ..methods.lcrec.trainer_config import LCRecTrainingConfig
from ..prompting.training_text import corpus_texts
from ..training.liger import add_liger_kernels
from .backbones import BackboneArguments, load_backbone
from .language_model_run import train_and_save
from .method_plans import lcrec_sizes, lcrec_warnings
from .models import check_base
from .option_parser import OptionParser
from .options import end_processes, start_run
from .plan import plan_training
from .training_pushes import TrainingPushes

logger = logging.getLogger("hf_llmrec")


@dataclass
class LCRecArguments(BackboneArguments):
    """What to train on, and what to train.

    Args:
        index: folder or Hub id of an `ItemIndex`, made by ``build-index``.
        train_index_rows: with ``--use_peft``: ``rows`` trains only the index tokens' embedding rows beside the
            adapters, ``all`` the whole embedding matrices, ``none`` neither.
        replace_index: with ``--model_name_or_path`` of an LC-Rec model that was trained with another index: draw all
            index rows anew. Without it another index is refused, and rows of tokens that the model has stay as learned.
        others: see `BackboneArguments`.
    """

    index: str = field(default=None, metadata={"help": "folder or Hub id of an item index (build-index)"})
    train_index_rows: str = field(default="rows", metadata={"help": "with --use_peft: `rows`, `all` or `none`"})
    replace_index: bool = field(
        default=False, metadata={"help": "draw the rows of a model that was trained with another index anew"}
    )

    def __post_init__(self):
        super().__post_init__()
        if not self.index:
            raise ValueError("--index is required: a folder made by build-index")
        if self.train_index_rows not in ("rows", "all", "none"):
            raise ValueError(f"--train_index_rows must be rows, all or none, got {self.train_index_rows!r}")


def trained_index(base: PreTrainedTokenizerBase, name: str, **source: Any) -> ItemIndex | None:
    """The index that a given model was trained with; ``None`` where its folder does not have it."""
    if isinstance(base, LCRecTokenizer):
        return base.item_index
    try:  # of some model types transformers loads the stock tokenizer
        return ItemIndex.from_pretrained(name, **source)
    except FileNotFoundError:
        return None


def peft_config(arguments: LCRecArguments, model_config: ModelConfig, tokenizer: LCRecTokenizer, model):
    """LoRA options, with the index tokens' embedding rows made trainable as ``--train_index_rows`` says."""
    config = get_peft_config(model_config)
    if config is None or arguments.train_index_rows == "none":
        return config
    tied = model.config.get_text_config().tie_word_embeddings
    name_of = {module: name.rpartition(".")[2] for name, module in model.named_modules()}
    matrices = [name_of[model.get_input_embeddings()]]
    if not tied:
        matrices.append(name_of[model.get_output_embeddings()])
    config.ensure_weight_tying = tied
    if arguments.train_index_rows == "all":
        config.modules_to_save = [*(config.modules_to_save or []), *matrices]
    else:
        rows = sorted(int(i) for ids in tokenizer.level_token_ids for i in ids)
        config.trainable_token_indices = dict.fromkeys(matrices, rows)
    return config


def run(arguments: LCRecArguments, training: LCRecTrainingConfig, model_config: ModelConfig) -> dict[str, float]:
    """Train and save; returns the validation metrics of the saved model, or with ``--dry_run`` the plan's figures."""
    began = time.perf_counter()
    set_seed(training.seed)  # before the backbone and the adapters are drawn; the trainer seeds only what follows it
    training.start_from(pretrained=bool(model_config.model_name_or_path))
    dataset, split = arguments.load()
    split.require_cases("validation")  # by which the best checkpoint is chosen
    base = model_config.model_name_or_path
    check_base(base, arguments, dataset, split, revision=model_config.model_revision)
    index = ItemIndex.from_pretrained(arguments.index)
    if not index.is_unique:
        raise ValueError(
            f"--index {arguments.index}: {index.collisions()} items share their codes with another, so that generating "
            "codes does not name an item: build it with build-index"
        )
    check_index(f"--index {arguments.index}", index, dataset, split, other_data=arguments.other_data)
    prompt = training.prompt()
    learned: set[str] = set()

    def extend(base: PreTrainedTokenizerBase) -> LCRecTokenizer:
        name, source = model_config.model_name_or_path, {"revision": model_config.model_revision}
        if name:
            find = partial(trained_index, base, name, **source)
            learned.update(learned_index_tokens(base, find, index, name, replace=arguments.replace_index))
        return LCRecTokenizer.from_base(base, index, dataset.titles)

    model, tokenizer = load_backbone(
        arguments,
        model_config,
        training,
        texts=lambda: corpus_texts(dataset, split),
        extend=extend,
    )
    prompt = prompt.keep_frame(tokenizer)
    if arguments.dry_run:
        grow_embeddings(model, tokenizer)
    else:
        initialize_index_embeddings(model, tokenizer, training.index_init, training.seed, learned)
    rows = LCRecTaskRows(
        dataset,
        split,
        tokenizer,
        prompt,
        training.task_weights,
        seed=training.seed,
        max_length=training.max_length,
        item_dropout=training.item_dropout,
    )
    logger.info("training rows per epoch: %s", rows.rows_per_direction)
    adapters = peft_config(arguments, model_config, tokenizer, model)
    plan = plan_training(
        arguments,
        training,
        model,
        adapters,
        rows,
        lambda batch: lcrec_sizes(batch, tokenizer, training.index_loss),
        target_per_item=training.seq_form == "packed",
        warnings=lcrec_warnings(training, model, tokenizer, adapters, arguments.train_index_rows),
    )
    if arguments.dry_run:
        return plan
    if arguments.liger_kernels:
        add_liger_kernels(model)
    cases = split.validation.sample(training.eval_users, seed=0) if training.eval_users else split.validation

    report: dict[str, Any] = {"task_rows": rows.rows_per_direction}

    def ranking_metrics(current_model) -> dict[str, float]:
        ranker = LCRecRecommender(
            current_model, tokenizer, prompt, num_beams=training.num_beams, normalize=training.normalize
        )
        metrics = evaluate_ranker(ranker, cases).metrics
        report["decoding_fallback"] = ranker.fallback
        return metrics

    def make_trainer(pushes: TrainingPushes) -> LCRecTrainer:
        return LCRecTrainer(
            model,
            training,
            rows=rows,
            level_token_ids=tokenizer.level_token_ids,
            processing_class=tokenizer,
            eval_rows=SequenceTargetRows(tokenizer, prompt, cases),
            ranking_metrics=ranking_metrics,
            peft_config=adapters,
            callbacks=[pushes],
        )

    return train_and_save(
        "lcrec",
        arguments,
        training,
        model_config,
        make_trainer,
        dataset=dataset,
        tokenizer=tokenizer,
        settings={"prompt": prompt.to_dict(), "num_beams": training.num_beams, "normalize": training.normalize},
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
