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
from .configuration_text_encoder import TextEncoderConfig
from .modeling_text_encoder import TextEncoderModel
from .queries import query_texts
from .repeat_bias import set_repeat_bias
from .sentence_model import encode_texts


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
            set_repeat_bias(model, self.split, self._user_vectors)
        return model.to(next(self.parameters()).device).eval()  # pyright: ignore[reportArgumentType]

    def _user_vectors(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        texts = query_texts(histories, self.titles, self.config, self.encoder)
        return encode_texts(self.encoder, texts)
