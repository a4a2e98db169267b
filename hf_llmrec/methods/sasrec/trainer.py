"""`SASRecTrainer`: transformers' Trainer on windows of item rows."""

from __future__ import annotations

import torch
from transformers import Trainer

from ...data.splits import RecSplit
from ...prompting.item_sequences import ItemSequenceDataset, ItemSequenceEvalDataset
from ...training.budget import fill_row_budget
from ...training.epoch_rows import RightPadCollator
from ...training.history_vectors import HistoryVectorsMixin
from ...training.row_trainer import RowTrainerMixin
from .recommender import SASRecRecommender
from .trainer_config import SASRecTrainingConfig


class SASRecTrainer(HistoryVectorsMixin, RowTrainerMixin, Trainer):
    """Trains SASRec to predict the next item (arXiv 1808.09781); the best checkpoint is chosen by validation NDCG@10.

    Args:
        recommender: from `SASRecRecommender.from_dataset`, or a saved one. Its model is trained in place.
        args: options of the training, a [`SASRecTrainingConfig`].
        kwargs: ``split``, or ``train_dataset`` (an `ItemSequenceDataset`), ``eval_dataset`` and ``eval_cases``, see
            [`RowTrainerMixin`]; and those of [`transformers.Trainer`].

    Example:
        ```python
        recommender = SASRecRecommender.from_dataset(dataset)
        SASRecTrainer(recommender, SASRecTrainingConfig("out"), split=dataset.split()).train()
        print(recommender.evaluate(dataset.split().test))
        ```
    """

    recommender: SASRecRecommender

    @staticmethod
    def build_train_dataset(
        recommender: SASRecRecommender, split: RecSplit, args: SASRecTrainingConfig
    ) -> ItemSequenceDataset:
        """Create windows of the training sequences.

        Args:
            recommender: the ``max_position_embeddings`` of its model is the length of the windows.
            split: its training interactions are used.
            args: its ``item_dropout`` and ``seed`` are used.
        """
        longest = recommender.model.config.max_position_embeddings
        return ItemSequenceDataset(split, max_length=longest, item_dropout=args.item_dropout, seed=args.seed)

    def build_eval_dataset(self, cases):
        return ItemSequenceEvalDataset(cases, max_length=self.recommender.model.config.max_position_embeddings)

    def build_collator(self):
        return RightPadCollator(self.recommender.model.config.num_items)

    def prepare(self, args, train_dataset: ItemSequenceDataset, *, has_adapters):
        model = self.recommender.model
        fill_row_budget(args, int(train_dataset.lengths(0).sum()))
        model.set_item_counts(torch.from_numpy(train_dataset.target_counts(model.config.num_items)))
        return model
