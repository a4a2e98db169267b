"""Embeddings of item texts (arXiv 2311.09049, section 3.2.1)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ..data.interactions import RecDataset
from ..data.model_folder import check_tokenizer_files
from .sentence_encoder import is_sentence_model, sentence_embeddings

logger = logging.getLogger(__name__)


def item_texts(dataset: RecDataset) -> list[str]:
    """One text per item: title, brand, categories and description, without empty and repeated parts.

    Args:
        dataset: the dataset, whose items are embedded in row order.
    """
    columns = (dataset.titles, dataset.brands, dataset.categories, dataset.descriptions)
    return [". ".join(dict.fromkeys(part for part in parts if part)) for parts in zip(*columns, strict=True)]


def embed_items(
    items: RecDataset | Sequence[str],
    source: str = "tfidf",
    *,
    dimensions: int = 256,
    max_tokens: int = 512,
    batch_size: int = 32,
    seed: int = 0,
) -> np.ndarray:
    """Embed items by their texts.

    Args:
        items: a dataset, whose `item_texts` are embedded, or one text per item.
        source: ``tfidf`` (TF-IDF and truncated SVD; needs no download), or the folder or Hub id of a
            sentence-transformers model or of any causal LM or encoder (masked mean pooling of its last layer).
        dimensions: largest number of dimensions of TF-IDF and SVD.
        max_tokens: length in tokens that a model's input is truncated to, or the model's own limit if that is smaller.
            TF-IDF reads complete texts.
        batch_size: number of texts per batch of a model.
        seed: seed of the SVD.

    Returns:
        float32 (n, d), rows of unit length.

    Raises:
        ImportError: the source is a sentence-transformers model and the extra ``text`` is not installed.
        OSError: the source is neither ``tfidf`` nor a folder, and cannot be read from the Hub.
    """
    texts = item_texts(items) if isinstance(items, RecDataset) else items
    if source == "tfidf":
        return _tfidf(texts, dimensions, seed)
    if is_sentence_model(source):
        return sentence_embeddings(source, texts, max_tokens, batch_size)
    check_tokenizer_files(source, "--text_encoder")
    tokenizer = AutoTokenizer.from_pretrained(source)
    # In the checkpoint's own precision (large models are often bf16), on the accelerator if there is one.
    model = AutoModel.from_pretrained(source, dtype="auto")
    if torch.accelerator.is_available():
        model.to(torch.accelerator.current_accelerator())
    return pooled_embeddings(model, tokenizer, texts, max_tokens, batch_size)


def _tfidf(texts: Sequence[str], dimensions: int, seed: int) -> np.ndarray:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Every run of word characters and every other symbol is a word: titles in any script, and single letters, count.
    matrix = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]").fit_transform(texts)
    width = min(dimensions, min(matrix.shape) - 1)
    if width < 1:
        return _unit(matrix.toarray().astype(np.float32))
    return _unit(TruncatedSVD(width, random_state=seed).fit_transform(matrix).astype(np.float32))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


@torch.no_grad()
def pooled_embeddings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int, batch_size: int
) -> np.ndarray:
    """Embed texts by the normalised mean of a model's last hidden states over all tokens except padding.

    Args:
        model: a transformers model that returns ``last_hidden_state``.
        tokenizer: its tokenizer.
        texts: texts to embed.
        max_tokens: length in tokens that texts are truncated to, or the tokenizer's limit if that is smaller.
        batch_size: number of texts per batch.

    Returns:
        float32 (n, width), rows of unit length.
    """
    from tqdm.auto import tqdm

    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.eval()
    longest = min(max_tokens, tokenizer.model_max_length)  # the number of learned positions
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    vectors = np.zeros((len(texts), model.config.get_text_config().hidden_size), dtype=np.float32)
    for start in tqdm(range(0, len(order), batch_size), desc="embedding items"):
        rows = order[start : start + batch_size]
        batch = tokenizer(
            [texts[row] for row in rows], padding=True, truncation=True, max_length=longest, return_tensors="pt"
        ).to(model.device)
        batch.pop("token_type_ids", None)
        hidden = model(**batch).last_hidden_state.float()
        mask = batch["attention_mask"].unsqueeze(-1).float()
        pooled = (hidden * mask).sum(1) / mask.sum(1).clamp_min(1)
        vectors[rows] = torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()
    return vectors
