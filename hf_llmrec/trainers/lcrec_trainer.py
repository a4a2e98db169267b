"""`LCRecTrainer`: TRL's SFTTrainer on rows that are built per epoch, with the loss on labelled positions only."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, TrainerCallback
from transformers.trainer import TRAINING_ARGS_NAME
from trl import SFTTrainer
from trl.models import unwrap_model_for_generation

from .batch_sampler import LengthGroupedBatchSampler
from .budget import fill_budget
from .index_loss import IndexLoss, add_index_loss
from .lcrec_config import LCRecTrainingConfig


class Rows(Protocol):
    """What the trainer trains on; see `hf_llmrec.prompts.lcrec_tasks`."""

    def __len__(self) -> int: ...

    def build(self, slot: int, epoch: int) -> dict[str, list[int]]: ...

    def lengths(self, epoch: int) -> np.ndarray: ...


class _EpochRows:
    """Turns row numbers into rows of the current epoch, as a `datasets` transform."""

    def __init__(self, rows: Rows):
        self.rows, self.epoch = rows, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __call__(self, batch: dict[str, list[int]]) -> dict[str, list[list[int]]]:
        built = [self.rows.build(int(slot), self.epoch) for slot in batch["slot"]]
        return {name: [row[name] for row in built] for name in ("input_ids", "labels")}


def rows_dataset(transform: _EpochRows) -> Dataset:
    return Dataset.from_dict({"slot": list(range(len(transform.rows)))}).with_transform(transform)


class RightPadCollator:
    """Pads ``input_ids`` with ``pad_token_id`` and ``labels`` with -100 on the right; int64 (batch, longest).

    There is no attention mask: under causal attention a token never sees the padding to its right, padding has no
    label, and without a mask attention runs its fastest kernel.
    """

    def __init__(self, pad_token_id: int):
        self.pad_token_id = pad_token_id

    def __call__(self, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        input_ids = torch.full((len(rows), longest), self.pad_token_id)
        labels = torch.full((len(rows), longest), -100)
        for number, row in enumerate(rows):
            input_ids[number, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
            labels[number, : len(row["labels"])] = torch.tensor(row["labels"])
        return {"input_ids": input_ids, "labels": labels}


class _EpochCallback(TrainerCallback):
    """Names the epoch before its first batch is drawn, also after a resume in the middle of one."""

    def __init__(self, sampler_of: Callable[[], LengthGroupedBatchSampler | None]):
        self._sampler_of = sampler_of

    def on_epoch_begin(self, args, state, control, **kwargs):
        sampler = self._sampler_of()
        if sampler is not None:
            sampler.set_epoch(math.floor((state.epoch or 0.0) + 1e-6))


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


class LCRecTrainer(SFTTrainer):
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
        self._train_rows = rows
        self._train_transform = _EpochRows(rows)
        self._sampler: LengthGroupedBatchSampler | None = None
        self._ranking_metrics = ranking_metrics
        super().__init__(
            model=model,
            args=args,
            data_collator=RightPadCollator(processing_class.pad_token_id),
            train_dataset=rows_dataset(self._train_transform),
            eval_dataset=None if eval_rows is None else rows_dataset(_EpochRows(eval_rows)),
            processing_class=processing_class,
            callbacks=[_EpochCallback(lambda: self._sampler), *(callbacks or [])],
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

    def _set_signature_columns_if_needed(self):
        self._signature_columns = ["slot"]

    def get_train_dataloader(self) -> DataLoader:
        args = self.args
        self._sampler = LengthGroupedBatchSampler(
            self._train_rows.lengths,
            batch_size=None if args.tokens_per_batch else self._train_batch_size,
            tokens_per_batch=args.tokens_per_batch,
            seed=args.data_seed if args.data_seed is not None else args.seed,
            num_processes=args.world_size,
            on_epoch=self._train_transform.set_epoch,
        )
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=self._sampler,
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory and torch.cuda.is_available(),
        )
        # Training batches differ in size, and their number is even by construction. Evaluation keeps accelerate's way
        # of evening batches out: processes with different numbers of batches would wait for each other for ever.
        settings = self.accelerator.dataloader_config
        even_batches, settings.even_batches = settings.even_batches, False
        try:
            return self.accelerator.prepare(loader)
        finally:
            settings.even_batches = even_batches

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

    def evaluation_loop(self, *args, metric_key_prefix: str = "eval", **kwargs):
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        found = self.rank()
        output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in found.items()})
        return output

    def rank(self) -> dict[str, float]:
        """``ranking_metrics`` of the model as it stands, on all processes; ZeRO-3's shards are gathered for it."""
        if self._ranking_metrics is None:
            return {}
        # Before the first step there is no wrapped model yet.
        with unwrap_model_for_generation(self.model_wrapped, self.accelerator) as model:
            return self._ranking_metrics(model)

    def create_model_card(self, *args, **kwargs) -> None:
        """None: TRL's card describes a chat model. A recommender's card is written when it is published."""

    def save_whole_model(self, folder: str) -> None:
        """Save a checkpoint that stock classes load: adapters merged, shards gathered, no pickled arguments.

        Called on all processes, at the end: adapters are gone from the model afterwards.
        """
        if self._is_peft():
            with unwrap_model_for_generation(self.model_wrapped, self.accelerator) as model:
                if self.args.should_save:
                    model.merge_and_unload().save_pretrained(folder)
        else:
            self.save_model(folder)
        if self.args.should_save:
            # Trainer pickles its arguments beside every model; a published folder holds safetensors and JSON only.
            (Path(folder) / TRAINING_ARGS_NAME).unlink(missing_ok=True)
