"""`LCRecTrainer`: TRL's SFTTrainer on rows that are built per epoch, with the loss on labelled positions only."""

from __future__ import annotations

import logging
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from transformers.training_args import OptimizerNames

from ...data.splits import EvalCases, RecSplit
from ...training.epoch_rows import RightPadCollator
from ...training.language_model_trainer import LanguageModelTrainer, start_from_recommender
from ...training.training_dropout import add_training_dropout
from .loss import IndexLoss, add_index_loss
from .memory_fit import fit_memory
from .plain_text import read_plain_text
from .plan import lcrec_sizes, lcrec_warnings
from .recommender import LCRecRecommender
from .repeat_bias import fit_repeat_bias
from .row_warmup import RowWarmup
from .rows import LCRecDataset, LCRecEvalDataset
from .trainer_config import LCRecTrainingConfig

logger = logging.getLogger(__name__)


class LCRecTrainer(LanguageModelTrainer):
    """Trains LC-Rec on its alignment tasks (arXiv 2311.09049, section 3.3).

    Args:
        recommender: from `LCRecRecommender.from_backbone`, or a saved one. Its model is trained in place.
        args: options of the training; its ``max_length``, where it is set, becomes the recommender's.
        kwargs: ``split``, or ``train_dataset``, ``eval_dataset`` and ``eval_cases``, see [`RowTrainerMixin`]; and those
            of [`trl.SFTTrainer`], such as ``peft_config``.

    Example:
        ```python
        trainer = LCRecTrainer(recommender, LCRecTrainingConfig("out"), split=dataset.split())
        trainer.train()
        print(recommender.evaluate(dataset.split().test))
        ```
    """

    _tag_names = ["trl", "sft", "lcrec", "hf_llmrec"]
    recommender: LCRecRecommender
    args: LCRecTrainingConfig
    train_dataset: LCRecDataset
    model: nn.Module
    _time_candidates = 100  # each takes a beam

    def __init__(self, recommender: LCRecRecommender, args: LCRecTrainingConfig, **kwargs):
        super().__init__(recommender, args, **kwargs)
        data = {name: fact for name, fact in recommender.training_data.items() if not name.startswith("held_out_texts")}
        recommender.training_data = data | self._held_out_facts
        stock, adapters = recommender.model, kwargs.get("peft_config")
        if self.is_fsdp_enabled and adapters is not None and stock.config.get_text_config().tie_word_embeddings:
            if adapters.trainable_token_indices:
                raise ValueError(
                    "FSDP2 cannot shard single rows of tied embeddings: use --train_index_rows all, or another of "
                    "recipes/accelerate_configs, such as ddp.yaml or zero2.yaml"
                )
        softcap = getattr(stock.config.get_text_config(), "final_logit_softcapping", None)
        levels, weights = recommender.tokenizer.level_token_ids, args.level_loss_weights
        add_index_loss(stock, IndexLoss(levels, args.index_loss, softcap, weights, recommender.trie))
        if args.index_loss == "children" and recommender.normalize != "children":
            logger.warning(
                "index_loss children trains no probabilities of codes that cannot follow, which normalize %s ranks "
                "by: set --normalize children",
                recommender.normalize,
            )
        add_training_dropout(stock, args.embedding_dropout, args.residual_dropout)
        self._row_warmup = self._make_row_warmup() if args.warmup_rows_steps else None

    def _make_row_warmup(self) -> RowWarmup:
        if self._sharding != "none":
            raise ValueError(
                f"warmup_rows_steps: gradients are sharded by {self._sharding}, which hides those of single rows; "
                "train in one process or with recipes/accelerate_configs/ddp.yaml, or leave it out"
            )
        ids = torch.from_numpy(np.concatenate(self.recommender.tokenizer.level_token_ids))
        warmup = RowWarmup(self.model, ids, self.args.warmup_rows_steps, OptimizerNames(self.args.optim).value)
        self.add_callback(warmup)
        return warmup

    @staticmethod
    def build_train_dataset(recommender: LCRecRecommender, split: RecSplit, args: LCRecTrainingConfig) -> LCRecDataset:
        """Create the rows of the task mixture on which a trainer with the same arguments trains.

        Args:
            recommender: its tokenizer and prompt are used.
            split: its training interactions, and texts about them, are used.
            args: its ``task_weights``, ``seed``, ``max_length``, ``item_dropout``, ``held_out_texts`` and
                ``plain_text`` are used.
        """
        start_from_recommender(args, recommender)
        rows = LCRecDataset(
            split.require_dataset(),
            split,
            recommender.tokenizer,
            recommender.prompt,
            args.all_task_weights(),
            seed=args.seed,
            max_length=cast(int, args.max_length),  # `start_from_recommender` has set it
            item_dropout=args.item_dropout,
            held_out_texts=args.held_out_items(),
            plain_text=() if args.plain_text is None else read_plain_text(args.plain_text),
        )
        logger.info("training rows per epoch: %s", rows.rows_per_direction)
        return rows

    def build_eval_dataset(self, cases):
        return LCRecEvalDataset(self.recommender.tokenizer, self.recommender.prompt, cases)

    def build_collator(self):
        return RightPadCollator(self.recommender.tokenizer.pad_token_id)

    @staticmethod
    def batch_sizes(batch, recommender, args):
        return lcrec_sizes(batch, recommender.tokenizer, args.index_loss)

    @staticmethod
    def plan_warnings(recommender, adapters):
        return lcrec_warnings(recommender, adapters)

    @staticmethod
    def has_target_per_item(recommender):
        return recommender.prompt.form == "packed"

    def _fit_additions(self, cases: EvalCases) -> None:
        recommender, args = self.recommender, self.args
        if args.memory and self.split is not None:
            options = {"num_neighbors": args.memory_neighbors, "min_users": args.memory_min_users}
            report = fit_memory(recommender, self.split, cases, learn_repeat_bias=args.learn_repeat_bias, **options)
            numbers = "validation NDCG@10 {ndcg@10:.4f}, without {without:.4f}".format(**report)
            logger.info("memory: %s", numbers if recommender.memory else f"none ({numbers})")
        else:
            recommender.memory = None
            if args.learn_repeat_bias:
                fit_repeat_bias(recommender, cases)
        logger.info("repeat_bias %.2f is added to the scores of the history's items", recommender.repeat_bias)
        super()._fit_additions(cases)

    @property
    def _held_out_facts(self) -> dict[str, Any]:
        """Which texts the rows do not contain; of rows that somebody else builds this is not known."""
        rows = self.train_dataset
        held_out = rows.held_out_texts if isinstance(rows, LCRecDataset) else None
        return held_out.facts if held_out else {}

    def report(self):
        rows = self.train_dataset.rows_per_direction
        return {"task_rows": rows, **self._held_out_facts, "decoding_fallback": self.decoding_fallback}

    def create_scheduler(self, num_training_steps, optimizer=None):
        warmup, create = self._row_warmup, super().create_scheduler
        if warmup is None or self.lr_scheduler is not None:
            return create(num_training_steps, optimizer)
        first = self.args.get_warmup_steps(warmup.steps)
        self.lr_scheduler = warmup.schedule(lambda steps: create(steps, optimizer), num_training_steps, first)
        return self.lr_scheduler

    def training_step(self, model, inputs, *args, **kwargs):
        loss = super().training_step(model, inputs, *args, **kwargs)
        warmup = self._row_warmup
        if warmup is not None and warmup.is_active(self.state.global_step) and self.accelerator.sync_gradients:
            warmup.remove_gradients()
        return loss

    def log(self, logs, start_time=None):
        warmup = self._row_warmup
        if warmup is not None and "loss" in logs:
            # Of the last step that was made.
            logs["trained_parameters"] = (
                warmup.trained if warmup.is_active(self.state.global_step - 1) else warmup.total
            )
        super().log(logs, start_time)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Mean cross-entropy per labelled token of the accumulated, distributed batch, levels weighted in training."""
        if return_outputs:
            raise ValueError("LCRecTrainer gives no logits: set prediction_loss_only=True and compute_metrics=None")
        mode = "train" if self.model.training else "eval"
        sums = model(input_ids=inputs["input_ids"], labels=inputs["labels"], index_loss=True)
        count = sums["index_count"] + sums["text_count"]
        total = count if num_items_in_batch is None else torch.as_tensor(num_items_in_batch, device=count.device)
        summed = sums["loss_sum"] if mode == "train" else sums["index_loss_sum"] + sums["text_loss_sum"]
        loss = summed / total.clamp(min=1)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            # DDP averages gradients over processes, but `total` counts the tokens of all processes.
            loss = loss * self.accelerator.num_processes
        self._log_sums(mode, sums, inputs["input_ids"].numel())
        return loss

    def _log_sums(self, mode: str, sums: dict[str, torch.Tensor], tokens: int) -> None:
        names = ("index_loss_sum", "text_loss_sum", "index_count", "text_count", "index_correct")
        stacked = torch.stack([sums[name].detach().double() for name in names])
        index_sum, text_sum, index_count, text_count, correct = self._reduced(stacked, "sum").tolist()
        if index_count:
            self._metrics[mode]["index_loss"].append(index_sum / index_count)
            self._metrics[mode]["code_accuracy"].append(correct / index_count)
        if text_count:
            self._metrics[mode]["text_loss"].append(text_sum / text_count)
        self._log_tokens(mode, tokens)
