"""`TextEncoderTrainer`: transformers' Trainer for the text encoder, with frozen or fine-tuned text vectors."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import nn
from transformers import Trainer

from ...data.epoch_dataset import EpochDataset
from ...data.splits import RecSplit
from ...indexing.text_embeddings import item_texts
from ...prompting.item_sequences import ItemSequenceDataset, ItemSequenceEvalDataset
from ...training.budget import fill_row_budget
from ...training.epoch_rows import RightPadCollator
from ...training.history_vectors import HistoryVectorsMixin
from ...training.row_trainer import RowTrainerMixin
from .fine_tuning import FineTunedNetwork
from .modeling_text_encoder import TextEncoderModel
from .recommender import TextEncoderRecommender
from .repeat_bias import set_repeat_bias
from .rows import TitleQueryCollator, TitleQueryDataset, TitleQueryEvalDataset
from .trainer_config import TextEncoderTrainingConfig

RATES = {None: 3e-3, "lora": 2e-4, "full": 2e-5}
# Queries and documents per batch, and epochs, of fine-tuning.
TUNING_BATCH, TUNING_EPOCHS = 64, 3.0


class TextEncoderTrainer(HistoryVectorsMixin, RowTrainerMixin, Trainer):
    """Trains the text encoder to predict the next item; the best checkpoint is chosen by validation NDCG@10.

    With frozen text vectors, an adaptor and a transformer are trained (UniSRec, arXiv 2206.05941). With
    ``args.finetune`` the sentence-transformers model itself is trained, by InfoNCE: a query of the last titles finds
    the next item's text among those of the batch. Items without training interactions are never negatives.

    Args:
        recommender: from `TextEncoderRecommender.from_dataset`, or a saved one. It is trained in place.
        args: options of the training.
        split: from `RecDataset.split`; fine-tuning requires it, for the items' texts.
        kwargs: ``train_dataset``, ``eval_dataset`` and ``eval_cases``, see [`RowTrainerMixin`]; and those of
            [`transformers.Trainer`].

    Raises:
        ValueError: ``args.finetune`` does not fit the ``history_encoder`` of the recommender's model, or as in
            [`RowTrainerMixin`].

    Example:
        ```python
        recommender = TextEncoderRecommender.from_dataset(dataset)
        TextEncoderTrainer(recommender, TextEncoderTrainingConfig("out"), split=dataset.split()).train()
        print(recommender.evaluate(dataset.split().test))
        ```
    """

    recommender: TextEncoderRecommender
    args: TextEncoderTrainingConfig

    def __init__(
        self,
        recommender: TextEncoderRecommender,
        args: TextEncoderTrainingConfig,
        *,
        split: RecSplit | None = None,
        **kwargs: Any,
    ):
        if recommender.reads_text != (args.finetune is not None):
            reads = recommender.model.config.history_encoder
            raise ValueError(f"finetune is {args.finetune!r}, but the recommender's history_encoder is {reads!r}")
        if args.finetune is not None and split is None:
            raise ValueError("split: fine-tuning needs one, whose dataset has the items' texts")
        self._texts = item_texts(split.require_dataset()) if recommender.reads_text and split is not None else []
        super().__init__(recommender, args, split=split, **kwargs)

    @staticmethod
    def build_train_dataset(
        recommender: TextEncoderRecommender, split: RecSplit, args: TextEncoderTrainingConfig
    ) -> EpochDataset:
        """Create windows of the training sequences; for fine-tuning a row for each target.

        Args:
            recommender: its model says how long histories are.
            split: its training interactions are used.
            args: its ``item_dropout`` and ``seed`` are used.
        """
        config = recommender.model.config
        if recommender.reads_text:
            return TitleQueryDataset(split, max_history=config.query_titles)
        longest = config.max_position_embeddings
        return ItemSequenceDataset(split, max_length=longest, item_dropout=args.item_dropout, seed=args.seed)

    def build_eval_dataset(self, cases):
        config = self.recommender.model.config
        if self.recommender.reads_text:
            return TitleQueryEvalDataset(cases, max_history=config.query_titles)
        return ItemSequenceEvalDataset(cases, max_length=config.max_position_embeddings)

    def build_collator(self):
        config = self.recommender.model.config
        if self.recommender.reads_text:
            titles = self.recommender.catalog.titles
            return TitleQueryCollator(self.recommender.encoder, titles, self._texts, config)
        return RightPadCollator(config.num_items)

    def prepare(self, args, train_dataset, *, has_adapters) -> nn.Module:
        model = self.recommender.model
        if args.learning_rate is None:
            args.learning_rate = RATES[args.finetune]
        if args.finetune is None:
            fill_row_budget(args, int(train_dataset.lengths(0).sum()))
            counts = np.bincount(cast(ItemSequenceDataset, train_dataset).items, minlength=model.config.num_items)
            model.candidates.copy_(torch.from_numpy(counts > 0))
            if self.split is not None:  # learned from there; an item is most like itself, so 0 is a poor start
                set_repeat_bias(model, self.split, self.recommender.user_vectors)
            return model
        if args.tokens_per_batch is None:
            args.tokens_per_batch = TUNING_BATCH
        if not args._epochs_chosen:
            args.num_train_epochs = TUNING_EPOCHS
        args.per_device_eval_batch_size = args.tokens_per_batch
        encoder, titles = self.recommender.encoder, self.recommender.catalog.titles
        for name, parameter in encoder.named_parameters():
            # Mean pooling does not read the pooling layer of BERT and its relatives, and parameters without a gradient
            # are an error under several processes.
            parameter.requires_grad_("pooler." not in name)
        if args.finetune == "lora":
            add_lora(encoder, args)
        assert self.split is not None  # checked above
        return FineTunedNetwork(encoder, model.config, self._texts, titles, self.split)

    def train(self, *args, **kwargs):
        """Train as [`transformers.Trainer.train`] does; afterwards the recommender has the trained model."""
        output = super().train(*args, **kwargs)
        if self.recommender.reads_text:
            network = self.accelerator.unwrap_model(self.model)
            self.recommender.model = self._recommending(network)
        return output

    def _recommending(self, model: Any) -> TextEncoderModel:
        return model.export() if isinstance(model, FineTunedNetwork) else model

    def _tokens_of(self, inputs) -> int:
        if "input_ids" in inputs:
            return inputs["input_ids"].numel()
        return inputs["queries"]["input_ids"].numel() + inputs["documents"]["input_ids"].numel()


def add_lora(encoder: Any, args: TextEncoderTrainingConfig) -> None:
    """Put LoRA matrices beside all linear layers of a sentence-transformers model's transformer, and freeze the rest.

    Args:
        encoder: the `sentence_transformers.SentenceTransformer`, changed in place.
        args: ``lora_r``, ``lora_alpha`` and ``lora_dropout``.

    Raises:
        ValueError: a model without a transformer, such as static embeddings.
    """
    from peft import LoraConfig, get_peft_model  # imported late: few trainings need it

    if not isinstance(getattr(encoder[0], "model", None), nn.Module):
        raise ValueError(f"finetune: {type(encoder[0]).__name__} has no transformer that LoRA could adapt; use full")
    if hasattr(encoder[0].model, "merge_and_unload"):  # from an earlier training
        encoder[0].model = encoder[0].model.merge_and_unload()
    encoder.requires_grad_(False)
    sizes = {"r": args.lora_r, "lora_alpha": args.lora_alpha, "lora_dropout": args.lora_dropout}
    # Mean pooling does not read the pooling layer of BERT and its relatives.
    config = LoraConfig(target_modules="all-linear", exclude_modules=["pooler.dense"], **sizes)
    encoder[0].model = get_peft_model(encoder[0].model, config)
