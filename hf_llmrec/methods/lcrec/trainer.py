"""`LCRecTrainer`: TRL's SFTTrainer on rows that are built per epoch, with the loss on labelled positions only."""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers import PreTrainedModel, TrainerCallback

from ...training.budget import fill_budget
from ...training.epoch_rows import RightPadCollator, Rows
from ...training.language_model_trainer import LanguageModelTrainer
from ...training.spread_weights import num_values
from ...training.training_dropout import add_training_dropout
from .loss import IndexLoss, add_index_loss
from .trainer_config import LCRecTrainingConfig


class LCRecTrainer(LanguageModelTrainer):
    """Alignment tuning of LC-Rec (arXiv 2311.09049, section 3.3).

    Args:
        model: a causal LM whose vocabulary holds the index tokens.
        args: `LCRecTrainingConfig`.
        rows: training rows, `LCRecTaskRows` or anything with its ``build`` and ``lengths``.
        eval_rows: rows of the validation loss.
        level_token_ids: per level, int64 (codes,) token ids; ``tokenizer.level_token_ids``.
        ranking_metrics: called with the model at every evaluation, on all processes; its dictionary is added to the
            evaluation's metrics (``ndcg@10`` becomes ``eval_ndcg@10``).
        others: as in `trl.SFTTrainer`.
    """

    _tag_names = ["trl", "sft", "lcrec", "hf_llmrec"]

    def __init__(
        self,
        model: PreTrainedModel,
        args: LCRecTrainingConfig,
        *,
        rows: Rows,
        level_token_ids,
        processing_class,
        eval_rows: Rows | None = None,
        ranking_metrics: Callable[[PreTrainedModel], dict[str, float]] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        **kwargs,
    ):
        size = sum(map(num_values, model.parameters()))
        adapters = kwargs.get("peft_config") is not None
        fill_budget(args, rows.lengths(0), size, adapters, target_per_item=args.seq_form == "packed")
        super().__init__(
            model=model,
            args=args,
            processing_class=processing_class,
            **self._use_rows(
                rows, eval_rows, RightPadCollator(processing_class.pad_token_id), ranking_metrics, callbacks
            ),
            **kwargs,
        )
        if self.is_fsdp_enabled and adapters and model.config.get_text_config().tie_word_embeddings:
            if kwargs["peft_config"].trainable_token_indices:
                raise ValueError(
                    "FSDP2 cannot spread single rows of tied embeddings: use --train_index_rows all, or another of "
                    "recipes/accelerate_configs, such as ddp.yaml or zero2.yaml"
                )
        base = self.accelerator.unwrap_model(self.model)
        stock = base.get_base_model() if self._is_peft() else base
        softcap = getattr(stock.config.get_text_config(), "final_logit_softcapping", None)
        add_index_loss(stock, IndexLoss(level_token_ids, args.index_loss, softcap))
        add_training_dropout(stock, args.embedding_dropout, args.residual_dropout)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Mean cross-entropy per labelled token of the whole (accumulated, distributed) batch."""
        if return_outputs:
            raise ValueError("LCRecTrainer gives no logits: set prediction_loss_only=True and compute_metrics=None")
        mode = "train" if self.model.training else "eval"
        sums = model(input_ids=inputs["input_ids"], labels=inputs["labels"], index_loss=True)
        count = sums["index_count"] + sums["text_count"]
        total = count if num_items_in_batch is None else torch.as_tensor(num_items_in_batch, device=count.device)
        loss = (sums["index_loss_sum"] + sums["text_loss_sum"]) / total.clamp(min=1)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = (
                loss * self.accelerator.num_processes
            )  # DDP averages gradients, `total` counts every process's tokens
        self._log_sums(mode, sums, inputs["input_ids"].numel())
        return loss

    def _log_sums(self, mode: str, sums: dict[str, torch.Tensor], tokens: int) -> None:
        stacked = torch.stack([value.detach().double() for value in sums.values()])
        index_sum, text_sum, index_count, text_count, correct = self.accelerator.reduce(stacked, "sum").tolist()
        if index_count:
            self._metrics[mode]["index_loss"].append(index_sum / index_count)
            self._metrics[mode]["code_accuracy"].append(correct / index_count)
        if text_count:
            self._metrics[mode]["text_loss"].append(text_sum / text_count)
        self._log_tokens(mode, tokens)
