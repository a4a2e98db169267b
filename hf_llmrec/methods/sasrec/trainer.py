"""`SASRecTrainer`: transformers' Trainer on windows of item rows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers import Trainer, TrainerCallback

from ...prompting.item_sequences import CaseRows, ItemSequenceRows
from ...training.budget import fill_row_budget
from ...training.epoch_rows import RightPadCollator
from ...training.row_trainer import RowTrainerMixin
from .modeling_sasrec import SASRecModel
from .trainer_config import SASRecTrainingConfig


class SASRecTrainer(RowTrainerMixin, Trainer):
    """Next-item training of SASRec (arXiv 1808.09781), with the best checkpoint by validation NDCG@10.

    Args:
        model: `SASRecModel`.
        args: `SASRecTrainingConfig`.
        rows: training rows.
        eval_rows: rows of the validation loss.
        ranking_metrics: called with the model at every evaluation, on all processes; its dictionary is added to the
            evaluation's metrics (``ndcg@10`` becomes ``eval_ndcg@10``).
        others: as in `transformers.Trainer`.
    """

    def __init__(
        self,
        model: SASRecModel,
        args: SASRecTrainingConfig,
        *,
        rows: ItemSequenceRows,
        eval_rows: CaseRows | None = None,
        ranking_metrics: Callable[[SASRecModel], dict[str, float]] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        **kwargs,
    ):
        fill_row_budget(args, int(rows.lengths(0).sum()))
        num_items = model.config.num_items
        model.set_item_counts(torch.from_numpy(rows.target_counts(num_items)))
        super().__init__(
            model=model,
            args=args,
            **self._use_rows(
                rows, eval_rows, RightPadCollator(num_items), ranking_metrics, [*(callbacks or []), *args.stopping()]
            ),
            **kwargs,
        )
