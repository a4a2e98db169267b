"""The fine-tuned text encoder as it is trained: a sentence-transformers model under InfoNCE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ...data.splits import RecSplit
from ...evaluation.batches import evaluation_mode
from ...losses.info_nce import info_nce
from ..dense_recommender import pad_histories
from .configuration_text_encoder import TextEncoderConfig
from .modeling_text_encoder import REPEAT_SCALE, TextEncoderModel
from .queries import query_texts
from .sentence_model import encode_texts

# Training users whose last item the repeat bias is fitted on.
REPEAT_USERS = 500


class FineTunedNetwork(nn.Module):
    """A sentence-transformers model that learns to embed a query of titles near the text of the next item.

    Args:
        encoder: a `sentence_transformers.SentenceTransformer`, trained in place; with adapters of PEFT only these are.
        config: of the recommender's model.
        texts: of all items, by row, as documents.
        titles: of all items, by row, of which queries are made.
        split: its training interactions are what the repeat bias is fitted on.
    """

    def __init__(
        self, encoder: Any, config: TextEncoderConfig, texts: Sequence[str], titles: Sequence[str], split: RecSplit
    ):
        super().__init__()
        self.encoder, self.config, self.texts, self.titles, self.split = encoder, config, texts, titles, split

    def forward(
        self,
        queries: dict[str, torch.Tensor],
        documents: dict[str, torch.Tensor],
        labels: torch.Tensor,
        excluded: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """InfoNCE of each query's document among the documents of the batch.

        Args:
            queries: token ids and attention mask of n queries.
            documents: token ids and attention mask of m distinct documents.
            labels: int64 (n,), the document of each query.
            excluded: bool (n, m), documents that are no negatives for a query: its own, and its user's other items.

        Returns:
            ``{"loss": float ()}``.
        """
        asked = self.encoder(dict(queries))["sentence_embedding"]
        answers = self.encoder(dict(documents))["sentence_embedding"]
        left_out = excluded.nonzero()
        options = {"temperature": self.config.score_temperature, "excluded": (left_out[:, 0], left_out[:, 1])}
        return {"loss": info_nce(asked, answers[labels], answers, **options).loss}

    @torch.no_grad()
    def export(self) -> TextEncoderModel:
        """The model that recommends: the items' vectors as they are now, and a fitted repeat bias."""
        model = TextEncoderModel(TextEncoderConfig.from_dict(self.config.to_dict()))
        with evaluation_mode(self.encoder):
            model.set_text_vectors(torch.from_numpy(encode_texts(self.encoder, self.texts)))
            if model.repeat_bias is not None:
                model.repeat_bias.fill_(self._fitted_bias(model) / REPEAT_SCALE)
        return model.to(next(self.parameters()).device).eval()  # pyright: ignore[reportArgumentType]

    def _fitted_bias(self, model: TextEncoderModel) -> float:
        """The repeat bias of the last training items of a fixed sample of users, given the items before."""
        users = np.flatnonzero(np.diff(self.split.train_indptr) > 1)
        if len(users) > REPEAT_USERS:
            users = np.sort(np.random.default_rng(0).choice(users, REPEAT_USERS, replace=False))
        sequences = [self.split.train_sequence(user) for user in users]
        histories, targets = [each[:-1] for each in sequences], np.array([each[-1] for each in sequences])
        queries = encode_texts(
            self.encoder, query_texts(histories, self.titles, self.config.query_titles, self.encoder)
        )
        scores = torch.from_numpy(queries) @ model.item_vectors().T / self.config.score_temperature
        marked = torch.zeros(len(users), model.config.num_items + 1, dtype=torch.bool)
        seen = marked.scatter_(1, pad_histories(histories, model.config.num_items), True)[:, :-1]
        return fit_repeat_bias(scores, seen, torch.from_numpy(targets).long())


def fit_repeat_bias(scores: torch.Tensor, seen: torch.Tensor, targets: torch.Tensor) -> float:
    """The number that maximises the likelihood of next items, if it is added to the scores of each history's items.

    There the mean probability of the items of the history is the share of next items that are among them. One repeat
    and one new item are added to what was observed, so that the number is finite.

    Args:
        scores: float (n, num_items), without the bias.
        seen: bool (n, num_items), the items of each history.
        targets: int64 (n,), the next items.

    Returns:
        the bias, between -50 and 50.
    """
    repeats = seen.gather(1, targets.unsqueeze(1)).sum().item()
    share = (repeats + 1) / (len(targets) + 2)
    again = scores.double().masked_fill(~seen, -torch.inf).logsumexp(1)
    new = scores.double().masked_fill(seen, -torch.inf).logsumexp(1)
    low, high = -50.0, 50.0
    for _ in range(60):  # the probability rises with the bias
        middle = (low + high) / 2
        low, high = (middle, high) if torch.sigmoid(again + middle - new).mean() < share else (low, middle)
    return (low + high) / 2
