"""`SASRecTrainer`: transformers' Trainer on windows of item rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from transformers import Trainer, TrainerCallback

from ...data.epoch_dataset import EpochDataset
from ...data.splits import EvalCases, RecSplit
from ...prompting.item_sequences import ItemSequenceDataset, ItemSequenceEvalDataset
from ...training.budget import fill_row_budget
from ...training.epoch_rows import RightPadCollator
from ...training.row_trainer import RowTrainerMixin, validation_cases
from .recommender import SASRecRecommender
from .trainer_config import SASRecTrainingConfig


class SASRecTrainer(RowTrainerMixin, Trainer):
    """Next-item training of SASRec (arXiv 1808.09781), with the best checkpoint by validation NDCG@10.

    Args:
        recommender: from `SASRecRecommender.from_dataset`, or a saved one. Its model is trained in place.
        args: `SASRecTrainingConfig`.
        split: from `RecDataset.split`; shorthand for the three that follow.
        train_dataset: training sequences; default: windows of the training interactions.
        eval_dataset: rows of the validation loss; default: the next item of ``eval_cases``.
        eval_cases: users that are ranked at every evaluation, all processes together; default: ``eval_users`` of the
            validation users, a fixed sample.
        data_collator: makes a batch of rows; default: `RightPadCollator`.
        callbacks: see `transformers.Trainer`.
        kwargs: of `transformers.Trainer`.

    Raises:
        ValueError: neither a split nor training rows; no user has enough interactions to be evaluated; a dataset of
            other items than the recommender's.

    Example:
        ```python
        recommender = SASRecRecommender.from_dataset(dataset)
        SASRecTrainer(recommender, SASRecTrainingConfig("out"), split=dataset.split()).train()
        print(recommender.evaluate(dataset.split().test))
        ```
    """

    def __init__(
        self,
        recommender: SASRecRecommender,
        args: SASRecTrainingConfig,
        *,
        split: RecSplit | None = None,
        train_dataset: ItemSequenceDataset | None = None,
        eval_dataset: EpochDataset | None = None,
        eval_cases: EvalCases | None = None,
        data_collator: Callable[[list], dict[str, torch.Tensor]] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        **kwargs,
    ):
        model = recommender.model
        num_items, longest = model.config.num_items, model.config.max_position_embeddings
        if split is not None and eval_cases is None:
            eval_cases = validation_cases(split, args.eval_users)
        if train_dataset is None:
            if split is None:
                raise ValueError("there is nothing to train on: give split=, or train_dataset=")
            drop = {"item_dropout": args.item_dropout, "seed": args.seed}
            train_dataset = ItemSequenceDataset(split, max_length=longest, **drop)
        if eval_dataset is None and eval_cases is not None:
            eval_dataset = ItemSequenceEvalDataset(eval_cases, max_length=longest)
        fill_row_budget(args, int(train_dataset.lengths(0).sum()))
        model.set_item_counts(torch.from_numpy(train_dataset.target_counts(num_items)))
        super().__init__(
            recommender,
            args,
            split=split,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            eval_cases=eval_cases,
            data_collator=data_collator or RightPadCollator(num_items),
            callbacks=[*(callbacks or []), *args.stopping()],
            model=model,
            **kwargs,
        )
        self._split = split

    def user_vectors(self) -> np.ndarray:
        """Vectors of the users of ``split``, each of its training history, float32 (num_users, hidden_size).

        Raises:
            ValueError: the trainer was made without a split.
        """
        if self._split is None:
            raise ValueError("there are no users: the trainer was made without split=")
        users = range(len(self._split.train_indptr) - 1)
        return self.recommender.user_vectors([self._split.train_sequence(user) for user in users])
