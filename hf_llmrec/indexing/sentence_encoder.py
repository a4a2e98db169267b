"""Sentence-transformers models as encoders of item texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import _CACHED_NO_EXIST, get_cached_repo_tree, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    EntryNotFoundError,
    HFValidationError,
    LocalEntryNotFoundError,
)

_MARKER = "modules.json"


def is_sentence_model(source: str) -> bool:
    """Whether a folder or a repository of the Hub is a sentence-transformers model, which has a ``modules.json``.

    Offline, the answer comes from the cache: from the file, from the record of an earlier look-up, or from the list of
    the repository's files that `hf download` stores.

    Args:
        source: folder or Hub id.

    Raises:
        OSError: the answer cannot be determined: there is no such folder and no connection, the repository is missing,
            private or gated, or the request failed for another reason.
    """
    if Path(source).is_dir():
        return (Path(source) / _MARKER).is_file()
    try:
        hf_hub_download(source, _MARKER)
    except LocalEntryNotFoundError as error:
        if _is_cached_as_missing(source):
            return False
        raise _unknown(source, error) from error
    except EntryNotFoundError:
        return False
    except HFValidationError as error:
        raise FileNotFoundError(f"{source}: no such folder, and no name of a repository") from error
    except OSError as error:
        raise _unknown(source, error) from error
    return True


def _is_cached_as_missing(source: str) -> bool:
    if try_to_load_from_cache(source, _MARKER) is _CACHED_NO_EXIST:
        return True
    try:
        return _MARKER not in {file.path for file in get_cached_repo_tree(source)}
    except CachedRepoTreeNotFoundError:
        return False


def _unknown(source: str, error: OSError) -> OSError:
    details = " ".join(str(error).split())[:300]
    return OSError(f"{source}: cannot find out whether it is a sentence-transformers model ({_MARKER}): {details}")


def sentence_embeddings(source: str, texts: Sequence[str], max_tokens: int, batch_size: int) -> np.ndarray:
    """Embed texts by a sentence-transformers model with its own pooling.

    Args:
        source: folder or Hub id of the model.
        texts: texts to embed.
        max_tokens: length in tokens that texts are truncated to, or the model's own limit if that is smaller.
        batch_size: number of texts per batch.

    Returns:
        float32 (n, width), rows of unit length.

    Raises:
        ImportError: the extra ``text`` is not installed.
    """
    model = load_sentence_model(source, max_tokens)
    vectors = model.encode(
        list(texts), batch_size=batch_size, show_progress_bar=True, normalize_embeddings=True, convert_to_numpy=True
    )
    return np.asarray(vectors, dtype=np.float32)


def load_sentence_model(source: str, max_tokens: int | None = 512) -> Any:
    """Load a sentence-transformers model.

    Args:
        source: folder or Hub id of the model.
        max_tokens: length in tokens that texts are truncated to, or the model's own limit if that is smaller; ``None``:
            the model's own limit.

    Returns:
        a `sentence_transformers.SentenceTransformer`.

    Raises:
        ImportError: the extra ``text`` is not installed.
    """
    try:
        from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports]  # extra `text`
    except ImportError as error:
        raise ImportError(
            f"--text_encoder {source} is a sentence-transformers model: pip install 'hf_llmrec[text]'"
        ) from error
    model = SentenceTransformer(source)
    # None: the model has no limit of its own. Infinite: the model reads any length and does not accept a limit.
    own = model.max_seq_length
    if max_tokens is not None and (own is None or max_tokens < own < float("inf")):
        model.max_seq_length = max_tokens
    return model
