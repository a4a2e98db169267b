"""Item texts -> vectors (arXiv 2311.09049, section 3.2.1)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils import cached_file

from ..data.interactions import RecDataset

logger = logging.getLogger(__name__)


def item_texts(dataset: RecDataset) -> list[str]:
    """One text per item: title, brand, categories and description, those that exist and do not repeat."""
    columns = (dataset.titles, dataset.brands, dataset.categories, dataset.descriptions)
    return [". ".join(dict.fromkeys(part for part in parts if part)) for parts in zip(*columns, strict=True)]


def embed_items(
    texts: Sequence[str],
    source: str = "tfidf",
    *,
    dimensions: int = 256,
    max_tokens: int = 512,
    batch_size: int = 32,
    seed: int = 0,
) -> np.ndarray:
    """Embed texts, float32 (n, d), rows of unit length.

    Args:
        texts: one per item. Long ones are truncated to ``max_tokens``, never blanked.
        source: ``tfidf`` (TF-IDF and truncated SVD; needs no download), or the folder or Hub id of a
            sentence-transformers model or of any causal LM or encoder (masked mean pooling of its last layer).
        dimensions: of TF-IDF + SVD, at most.

    Raises:
        ImportError: the source is a sentence-transformers model and the extra ``text`` is not installed.
    """
    if source == "tfidf":
        return _tfidf(texts, dimensions, seed)
    try:
        cached_file(source, "modules.json")
        is_sentence_model = True
    except OSError:
        is_sentence_model = False
    if is_sentence_model:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ImportError(
                f"--text_encoder {source} is a sentence-transformers model: pip install 'hf_llmrec[text]'"
            ) from error
        model = SentenceTransformer(source)
        vectors = model.encode(
            list(texts), batch_size=batch_size, show_progress_bar=True, normalize_embeddings=True, convert_to_numpy=True
        )
        return np.asarray(vectors, dtype=np.float32)
    tokenizer = AutoTokenizer.from_pretrained(source)
    # The checkpoint's own precision (large models come in bf16), on the accelerator where there is one.
    model = AutoModel.from_pretrained(source, dtype="auto")
    if torch.accelerator.is_available():
        model.to(torch.accelerator.current_accelerator())
    return pooled_embeddings(model, tokenizer, texts, max_tokens, batch_size)


def _tfidf(texts: Sequence[str], dimensions: int, seed: int) -> np.ndarray:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Whatever stands between spaces counts as a word: titles in any script, and single letters, must not vanish.
    matrix = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]").fit_transform(texts)
    width = min(dimensions, min(matrix.shape) - 1)
    if width < 1:
        return _unit(matrix.toarray().astype(np.float32))
    return _unit(TruncatedSVD(width, random_state=seed).fit_transform(matrix).astype(np.float32))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


@torch.no_grad()
def pooled_embeddings(model, tokenizer, texts: Sequence[str], max_tokens: int, batch_size: int) -> np.ndarray:
    """Mean of the last hidden states over real tokens, then unit length; float32 (n, width).

    Args:
        model: a transformers model that returns ``last_hidden_state``. tokenizer: its tokenizer.
    """
    from tqdm.auto import tqdm

    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.eval()
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    result = np.zeros((len(texts), model.config.get_text_config().hidden_size), dtype=np.float32)
    for start in tqdm(range(0, len(order), batch_size), desc="embedding items"):
        rows = order[start : start + batch_size]
        batch = tokenizer(
            [texts[row] for row in rows], padding=True, truncation=True, max_length=max_tokens, return_tensors="pt"
        ).to(model.device)
        batch.pop("token_type_ids", None)
        hidden = model(**batch).last_hidden_state.float()
        mask = batch["attention_mask"].unsqueeze(-1).float()
        pooled = (hidden * mask).sum(1) / mask.sum(1).clamp_min(1)
        result[rows] = torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()
    return result
