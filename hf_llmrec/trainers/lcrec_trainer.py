"""`LCRecTrainer`: TRL's SFTTrainer on rows that are built per epoch, with the loss on labelled positions only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel, TrainerCallback
from transformers.trainer import TRAINING_ARGS_NAME
from trl import SFTTrainer
from trl.models import unwrap_model_for_generation

from .budget import fill_budget
from .epoch_rows import RightPadCollator, Rows
from .index_loss import IndexLoss, add_index_loss
from .lcrec_config import LCRecTrainingConfig
from .row_trainer import RowTrainerMixin


def add_training_dropout(model: PreTrainedModel, embedding: float, residual: float) -> list:
    """Dropout on input embeddings and on the residual branches of a stock decoder, by forward hooks.

    Most current architectures have no such dropout of their own; small models trained from scratch need it. The hooks
    act in training mode only and are not part of the saved model.

    Returns:
        the hook handles, for removal.

    Raises:
        ValueError: ``residual`` is set and the model has no layers with ``self_attn.o_proj`` and ``mlp.down_proj``.
    """

    def hook(probability: float):
        def drop(module, inputs, output):
            return nn.functional.dropout(output, probability) if module.training else output

        return drop

    handles = []
    if embedding > 0:
        handles.append(model.get_input_embeddings().register_forward_hook(hook(embedding)))
    if residual > 0:
        branches = [m for name, m in model.named_modules() if name.endswith(("self_attn.o_proj", "mlp.down_proj"))]
        if not branches:
            raise ValueError(f"residual_dropout is not available for {type(model).__name__}; set it to 0")
        handles += [branch.register_forward_hook(hook(residual)) for branch in branches]
    return handles


class LCRecTrainer(RowTrainerMixin, SFTTrainer):
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
        # Under ZeRO-3 a parameter's own numel is that of this process's share.
        size = sum(getattr(parameter, "ds_numel", parameter.numel()) for parameter in model.parameters())
        fill_budget(args, rows.lengths(0), size, kwargs.get("peft_config") is not None)
        super().__init__(
            model=model,
            args=args,
            processing_class=processing_class,
            **self._use_rows(
                rows, eval_rows, RightPadCollator(processing_class.pad_token_id), ranking_metrics, callbacks
            ),
            **kwargs,
        )
        base = self.accelerator.unwrap_model(self.model)
        stock = base.get_base_model() if self._is_peft() else base
        softcap = getattr(stock.config.get_text_config(), "final_logit_softcapping", None)
        add_index_loss(stock, IndexLoss(level_token_ids, args.index_loss, softcap))
        add_training_dropout(stock, args.embedding_dropout, args.residual_dropout)

    def _is_peft(self) -> bool:
        from peft import PeftModel

        return isinstance(self.accelerator.unwrap_model(self.model), PeftModel)

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
        if mode == "train":
            self._total_train_tokens += tokens * self.accelerator.num_processes
        self._metrics[mode]["num_tokens"] = [self._total_train_tokens]

    def _whole_model(self):
        # Gathers ZeRO-3's shards. Before the first step there is no wrapped model yet.
        return unwrap_model_for_generation(self.model_wrapped, self.accelerator)

    def save_whole_model(self, folder: str) -> None:
        """Save a checkpoint that stock classes load: adapters merged, shards gathered, no pickled arguments.

        Called on all processes, at the end: adapters are gone from the model afterwards.
        """
        if self._is_peft():
            with self._whole_model() as model:
                if self.args.should_save:
                    model.merge_and_unload().save_pretrained(folder)
        else:
            self.save_model(folder)
        if self.args.should_save:
            # Trainer pickles its arguments beside every model; a published folder holds safetensors and JSON only.
            (Path(folder) / TRAINING_ARGS_NAME).unlink(missing_ok=True)
