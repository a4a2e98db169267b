"""`TextEncoderRecommender`: the text encoder with its catalogue and its sentence-transformers model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from ...data.interactions import RecDataset
from ...data.recommender_folder import ItemCatalog
from ...evaluation.batches import evaluation_mode
from ...indexing.sentence_encoder import is_sentence_model, load_sentence_model
from ...indexing.text_embeddings import embed_items, item_texts
from ..dense_recommender import pad_histories
from ..history_recommender import HistoryRecommender
from .configuration_text_encoder import TextEncoderConfig
from .modeling_text_encoder import TextEncoderModel
from .queries import query_texts
from .sentence_model import encode_texts, load_saved_encoder, save_sentence_model


class TextEncoderRecommender(HistoryRecommender):
    """Ranks items by the cosine of their text vectors with the vector of a history; items without interactions, too.

    Args:
        model: of the recommender.
        catalog: the items in the model's row order, with titles; or item ids alone, whose titles are empty then.
        encoder: the `sentence_transformers.SentenceTransformer` of the text vectors, without the adaptor, or a function
            that loads it when it is needed; ``None``: the text vectors were made elsewhere.
        kwargs: ``max_history`` and ``batch_size`` of [`DenseRecommender`].

    Raises:
        ValueError: ``model`` encodes the texts of histories, and there is no encoder.
    """

    method = "text_encoder"
    model: TextEncoderModel

    def __init__(
        self, model: TextEncoderModel, catalog: ItemCatalog | Sequence[str], *, encoder: Any = None, **kwargs: Any
    ):
        super().__init__(model, catalog, **kwargs)
        if encoder is None and self.reads_text:
            raise ValueError("encoder: a model with history_encoder 'text' needs its sentence-transformers model")
        self._encoder = encoder

    @classmethod
    def from_dataset(
        cls,
        dataset: RecDataset,
        text_vectors: np.ndarray | None = None,
        *,
        text_encoder: str = "tfidf",
        max_tokens: int = 512,
        **fields: Any,
    ) -> TextEncoderRecommender:
        """Create an untrained recommender; torch's global generator draws the weights of its transformer.

        Args:
            dataset: its items are the catalogue.
            text_vectors: float (num_items, d), text vectors made elsewhere, in the dataset's item order; default: those
                of ``text_encoder``.
            text_encoder: what embeds the items' texts, see `embed_items`. A sentence-transformers model is saved with
                the recommender, together with the adaptor.
            max_tokens: length in tokens that texts are truncated to, or the model's own limit if that is smaller.
            fields: of [`TextEncoderConfig`], such as ``hidden_size``; ``history_encoder="text"`` for a model to be
                fine-tuned.

        Returns:
            a recommender whose model [`TextEncoderTrainer`] trains in place.

        Raises:
            ImportError: ``text_encoder`` is a sentence-transformers model and the extra ``text`` is not installed.
            ValueError: vectors of another shape or with values that are not finite, no texts to embed, or a model to be
                fine-tuned that is not one of sentence-transformers.

        Example:
            ```python
            dataset = make_demo_shop().dataset
            recommender = TextEncoderRecommender.from_dataset(dataset)  # or text_encoder="BAAI/bge-small-en-v1.5"
            recommender.item_vectors().shape
            ```
        """
        sized = sorted({"num_items", "text_size"} & set(fields))
        if sized:
            raise ValueError(f"{sized[0]} follows from the data: leave it out")
        tuned, encoder = fields.get("history_encoder") == "text", None
        if text_vectors is None:
            texts = item_texts(dataset)
            if not any(texts):
                raise ValueError(f"text_encoder: the items of {dataset.name!r} have no texts; pass text_vectors")
            if text_encoder != "tfidf" and is_sentence_model(text_encoder):
                encoder = load_sentence_model(text_encoder, max_tokens)
                text_vectors = encode_texts(encoder, texts)
            elif tuned:
                raise ValueError(f"text_encoder: {text_encoder} is not a sentence-transformers model to be fine-tuned")
            else:
                text_vectors = embed_items(texts, text_encoder, max_tokens=max_tokens)
        elif tuned:
            raise ValueError("text_vectors: a model that is fine-tuned computes its own; pass text_encoder")
        if np.ndim(text_vectors) != 2 or len(text_vectors) != dataset.num_items:
            raise ValueError(f"text_vectors must be ({dataset.num_items}, d), got {np.shape(text_vectors)}")
        if not np.isfinite(text_vectors).all():
            raise ValueError("text_vectors has values that are not finite")
        if tuned and not any(dataset.titles):
            raise ValueError(f"text_encoder: the items of {dataset.name!r} have no titles, of which queries are made")
        sizes = {"num_items": dataset.num_items, "text_size": text_vectors.shape[1]}
        model = TextEncoderModel(TextEncoderConfig(**{**sizes, **fields}))
        model.set_text_vectors(torch.from_numpy(np.asarray(text_vectors, dtype=np.float32)))
        longest = None if tuned else model.config.max_position_embeddings
        return cls(model, ItemCatalog.of_dataset(dataset), encoder=encoder, max_history=longest)

    @classmethod
    def _from_folder(cls, model, settings, catalog, path_or_hub_id, where, *, tokenizer=None, **options):
        encoder = None
        if settings.get("text_encoder"):
            reads_text = model.config.history_encoder == "text"
            encoder = partial(load_saved_encoder, path_or_hub_id, where, has_adaptor=not reads_text)
        values = {"max_history": settings.get("max_history"), "encoder": encoder}
        return cls(model, catalog, **{**values, **options})

    def settings(self):
        return {**super().settings(), "text_encoder": self._encoder is not None}

    def _save_beside(self, folder):
        if self._encoder is not None:
            save_sentence_model(self.encoder, self.model, folder)

    @property
    def reads_text(self) -> bool:
        """Whether histories are encoded from their titles by the sentence-transformers model."""
        return self.model.config.history_encoder == "text"

    @property
    def encoder(self) -> Any:
        """The `sentence_transformers.SentenceTransformer` of the text vectors; loaded when it is first asked for.

        Raises:
            ImportError: the extra ``text`` is not installed.
            ValueError: there is none: the text vectors were made elsewhere.
        """
        if self._encoder is None:
            raise ValueError("this text encoder has text vectors that were made elsewhere, and no model of them")
        if isinstance(self._encoder, partial):
            self._encoder = self._encoder()
        return self._encoder

    @encoder.setter
    def encoder(self, encoder: Any) -> None:
        self._encoder = encoder

    @torch.no_grad()
    def user_vectors(self, histories):
        """Vectors of histories, of unit length: an item's score is their cosine divided by the temperature.

        Args:
            histories: n int arrays of item rows, oldest first.

        Returns:
            float32 (n, d).
        """
        if self.reads_text and len(histories):
            return self._encode_queries(self._latest(histories))
        return super().user_vectors(histories)

    def _encode_queries(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        texts = query_texts(histories, self.catalog.titles, self.model.config, self.encoder)
        with evaluation_mode(self.encoder):
            return encode_texts(self.encoder, texts)

    @torch.no_grad()
    def _scores(self, histories, user_ids):
        if not self.reads_text:
            return super()._scores(histories, user_ids)
        queries = torch.from_numpy(self._encode_queries(histories)).to(self.model.text_vectors)
        seen = pad_histories(histories, self.model.config.num_items)
        return self.model.score_queries(queries, seen.to(self.model.device)).float()

    @torch.no_grad()
    def add_items(
        self, titles: Mapping[str, str], text_vectors: np.ndarray | None = None, *, texts: Sequence[str] | None = None
    ) -> TextEncoderRecommender:
        """A recommender with more items, which needs no training: their vectors follow from their texts.

        Args:
            titles: titles of the new items, by item id.
            text_vectors: float (new items, text_size), made as those of the other items were; default: by the
                recommender's `encoder`.
            texts: texts of the new items as `item_texts` makes them, for the encoder; default: the titles.

        Returns:
            a recommender of all items, the new ones last. This one does not change.

        Raises:
            ValueError: no item, an item that there is already, another number of vectors or texts than of items,
                vectors of another width or that are not finite, or neither vectors nor an encoder.

        Example:
            ```python
            larger = recommender.add_items({"B00X": "Cotton pads"})
            larger.save_pretrained("outputs/june")
            ```
        """
        if not titles:
            raise ValueError("titles: there is no item to add")
        known = sorted(set(self.item_ids) & set(titles))
        if known:
            raise ValueError(f"titles: item {known[0]!r} is in the catalogue already")
        if text_vectors is None:
            texts = list(titles.values()) if texts is None else texts
            if len(texts) != len(titles):
                raise ValueError(f"texts: {len(texts)} for {len(titles)} items")
            with evaluation_mode(self.encoder):
                text_vectors = encode_texts(self.encoder, texts)
        config = self.model.config
        if np.shape(text_vectors) != (len(titles), config.text_size):
            raise ValueError(f"text_vectors must be ({len(titles)}, {config.text_size}), got {np.shape(text_vectors)}")
        if not np.isfinite(text_vectors).all():
            raise ValueError("text_vectors has values that are not finite")
        new = torch.from_numpy(np.asarray(text_vectors)).to(self.model.text_vectors)
        state = self.model.state_dict()
        state["text_vectors"] = torch.cat([self.model.text_vectors, self.model.whiten(new)])
        fields = {**config.to_dict(), "num_items": config.num_items + len(titles)}
        model = TextEncoderModel(TextEncoderConfig.from_dict(fields))
        model.load_state_dict(state)
        catalog = ItemCatalog(
            [*self.item_ids, *titles], [*self.catalog.titles, *titles.values()], self.catalog.dataset_fingerprint
        )
        options = {"max_history": self.max_history, "batch_size": self.batch_size, "encoder": self._encoder}
        model.to(state["text_vectors"].device)  # pyright: ignore[reportArgumentType]  # transformers wraps it
        made = TextEncoderRecommender(model, catalog, **options)
        made.dataset_name, made.training_data = self.dataset_name, self.training_data
        if self.time_features is not None:
            rows = np.concatenate([np.arange(config.num_items), np.full(len(titles), -1)])
            made.time_features = self.time_features.take(rows)
        return made
