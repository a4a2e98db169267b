"""``train-lcrec``: alignment-tune a stock or pretrained causal LM on item indices."""

from __future__ import annotations

import json
import logging
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
from trl import ModelConfig, TrlParser, get_peft_config, get_quantization_config

from ..data.item_index import ItemIndex
from ..evaluation.evaluator import evaluate_ranker
from ..models.lcrec.backbones import build_backbone
from ..models.lcrec.corpus_tokenizer import train_corpus_tokenizer
from ..models.lcrec.index_embeddings import initialize_index_embeddings
from ..models.lcrec.tokenization_lcrec import LCRecTokenizer
from ..prompts.lcrec_prompt import LCRecPrompt
from ..prompts.lcrec_tasks import LCRecTaskRows, SequenceTargetRows
from ..prompts.training_text import corpus_texts
from ..rankers.lcrec import LCRecRanker
from ..trainers.checkpoints import last_complete_checkpoint
from ..trainers.lcrec_config import LCRecTrainingConfig
from ..trainers.lcrec_trainer import LCRecTrainer
from .backbone_check import check_backbone
from .options import DatasetArguments, end_processes, start_run
from .results import changed_options
from .saving import finish_run, save_recommender

logger = logging.getLogger("hf_llmrec")


@dataclass
class LCRecArguments(DatasetArguments):
    """What to train on, and what to train.

    Args:
        index: folder or Hub id of an `ItemIndex`, made by ``build-index``.
        backbone: ``tiny`` or ``small``, trained from scratch where no ``--model_name_or_path`` is given.
        architecture: of the backbone, ``llama`` or ``qwen3``.
        backbone_overrides: config fields of the backbone, as JSON.
        corpus_vocab_size: text vocabulary of the tokenizer that is trained with a backbone.
        train_index_rows: with ``--use_peft``: ``rows`` trains only the index tokens' embedding rows beside the
            adapters, ``all`` the whole embedding matrices, ``none`` neither.
        resume: continue from the last checkpoint in ``--output_dir``, if there is one.
    """

    index: str = field(default=None, metadata={"help": "folder or Hub id of an item index (build-index)"})
    backbone: str = field(default="tiny", metadata={"help": "`tiny` or `small`, without --model_name_or_path"})
    architecture: str = field(default="llama", metadata={"help": "of the backbone: `llama` or `qwen3`"})
    backbone_overrides: dict[str, Any] | str | None = field(
        default_factory=dict, metadata={"help": "config fields of the backbone, as JSON"}
    )
    corpus_vocab_size: int = field(default=4000, metadata={"help": "text vocabulary trained with a backbone"})
    train_index_rows: str = field(default="rows", metadata={"help": "with --use_peft: `rows`, `all` or `none`"})
    resume: bool = field(default=False, metadata={"help": "continue from the last checkpoint in --output_dir"})

    def __post_init__(self):
        if not self.index:
            raise ValueError("--index is required: a folder made by build-index")
        if self.train_index_rows not in ("rows", "all", "none"):
            raise ValueError(f"--train_index_rows must be rows, all or none, got {self.train_index_rows!r}")
        if isinstance(self.backbone_overrides, str):
            self.backbone_overrides = json.loads(self.backbone_overrides)


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


def build_model(
    arguments: LCRecArguments, model_config: ModelConfig, training: LCRecTrainingConfig, texts, index, titles
):
    """(model, tokenizer) with the index vocabulary in place."""
    if model_config.model_name_or_path:
        name = model_config.model_name_or_path
        source = {"revision": model_config.model_revision, "trust_remote_code": training.trust_remote_code}
        tokenizer = LCRecTokenizer.from_base(AutoTokenizer.from_pretrained(name, **source), index, titles)
        quantization = get_quantization_config(model_config)
        if quantization is not None:
            # Quantised weights cannot be moved afterwards: each process loads onto its own device.
            source |= {"quantization_config": quantization, "device_map": {"": PartialState().device}}
        model = AutoModelForCausalLM.from_pretrained(
            name,
            dtype=model_config.dtype or "auto",
            attn_implementation=model_config.attn_implementation,
            **source,
        )
        check_backbone(model, name, training.max_length)
    else:
        base = train_corpus_tokenizer(texts, vocab_size=arguments.corpus_vocab_size)
        tokenizer = LCRecTokenizer.from_base(base, index, titles)
        model = build_backbone(
            arguments.backbone,
            tokenizer,
            architecture=arguments.architecture,
            max_length=training.max_length,
            overrides=arguments.backbone_overrides,
        )
    initialize_index_embeddings(model, tokenizer, method=training.index_init, seed=training.seed)
    return model, tokenizer


def run(arguments: LCRecArguments, training: LCRecTrainingConfig, model_config: ModelConfig) -> dict[str, float]:
    """Train and save; returns the validation metrics of the saved model."""
    began = time.perf_counter()
    set_seed(training.seed)  # before the backbone and the adapters are drawn; the trainer seeds only what follows it
    dataset, split = arguments.load()
    index = ItemIndex.from_pretrained(arguments.index)
    if not index.is_unique:
        raise ValueError(
            f"--index {arguments.index}: {index.collisions()} items share their codes with another, so that generating "
            "codes does not name an item: build it with build-index"
        )
    if index.fingerprint != dataset.catalog_fingerprint:
        raise ValueError(
            f"--index {arguments.index} was built for another catalogue ({index.num_items} items) than --dataset "
            f"{arguments.dataset} ({dataset.num_items} items): build it again with build-index"
        )
    prompt = LCRecPrompt(training.seq_form, training.packed_prefix, training.max_history, training.max_length)
    # Trainer's own push would upload checkpoints and half of the folder: the whole goes up once, at the end.
    push, training.push_to_hub = training.push_to_hub, False
    texts = corpus_texts(dataset, split)
    model, tokenizer = build_model(arguments, model_config, training, texts, index, dataset.titles)
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
    cases = split.validation.sample(training.eval_users, seed=0) if training.eval_users else split.validation

    def ranking_metrics(current_model) -> dict[str, float]:
        ranker = LCRecRanker(
            current_model, tokenizer, prompt, num_beams=training.num_beams, normalize=training.normalize
        )
        return evaluate_ranker(ranker, cases, dataset.item_ids).metrics

    trainer = LCRecTrainer(
        model,
        training,
        rows=rows,
        level_token_ids=tokenizer.level_token_ids,
        processing_class=tokenizer,
        eval_rows=SequenceTargetRows(tokenizer, prompt, cases),
        ranking_metrics=ranking_metrics,
        peft_config=peft_config(arguments, model_config, tokenizer, model),
    )
    checkpoint = last_complete_checkpoint(training.output_dir, training.world_size) if arguments.resume else None
    result = trainer.train(resume_from_checkpoint=checkpoint)
    metrics = trainer.rank()

    def save_model(folder: Path) -> None:
        trainer.save_whole_model(str(folder))
        if training.should_save:
            tokenizer.save_pretrained(folder)

    settings = {
        "prompt": prompt.to_dict(),
        "num_beams": training.num_beams,
        "normalize": training.normalize,
        "data": arguments.data_facts(dataset),
    }
    save_recommender(training.output_dir, "lcrec", dataset, settings, save_model, is_writer=training.should_save)
    report = {
        "train": result.metrics,
        "config": {
            **changed_options(arguments, LCRecArguments(dataset="", index=" ")),
            **changed_options(training, LCRecTrainingConfig(output_dir=training.output_dir)),
            **changed_options(model_config, ModelConfig()),
        },
        "task_rows": rows.rows_per_direction,
        "log": trainer.state.log_history,
    }
    finish_run(training, push, metrics, began, report)
    return metrics


def main(argv: list[str] | None = None) -> int:
    parser = TrlParser((LCRecArguments, LCRecTrainingConfig, ModelConfig))
    arguments, training, model_config = parser.parse_args_and_config(sys.argv[1:] if argv is None else argv)
    start_run(arguments)
    run(arguments, training, model_config)
    end_processes()
    return 0
