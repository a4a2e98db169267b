"""The sentence-transformers model of a text encoder: its vectors, its adaptor as a module, its folder."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download

from ...data.recommender_folder import TEXT_ENCODER_FOLDER
from ...indexing.sentence_encoder import load_sentence_model
from .modeling_text_encoder import TextEncoderModel

# Modules that `with_adaptor` adds.
_ADDED = 2


def encode_texts(encoder: Any, texts: Sequence[str], *, batch_size: int = 64) -> np.ndarray:
    """Text vectors of unit length.

    Args:
        encoder: a `sentence_transformers.SentenceTransformer`.
        texts: n texts.
        batch_size: number of texts per batch.

    Returns:
        float32 (n, width).
    """
    vectors = encoder.encode(
        list(texts), batch_size=batch_size, show_progress_bar=False, normalize_embeddings=True, convert_to_numpy=True
    )
    return np.asarray(vectors, dtype=np.float32).reshape(len(texts), -1)


def normalized(encoder: Any) -> Any:
    """A sentence-transformers model whose vectors are of unit length, with the modules of the given one.

    Args:
        encoder: a `sentence_transformers.SentenceTransformer`; if its vectors are normalised, it is returned.
    """
    from sentence_transformers.sentence_transformer.modules import (  # pyright: ignore[reportMissingImports]
        Normalize,
    )

    modules = list(encoder)
    return encoder if isinstance(modules[-1], Normalize) else _with_modules(encoder, [*modules, Normalize()])


def with_adaptor(encoder: Any, model: TextEncoderModel) -> Any:
    """A sentence-transformers model whose vectors are those that `TextEncoderModel.item_vectors` gives.

    Whitening and adaptor are one linear function, a ``Dense`` module.

    Args:
        encoder: the model of the text vectors.
        model: with an adaptor.
    """
    from sentence_transformers.sentence_transformer.modules import (  # pyright: ignore[reportMissingImports]
        Dense,
        Normalize,
    )

    weight, bias = model.linear_adaptor()
    layers = {"init_weight": weight.float().to(encoder.device), "init_bias": bias.float().to(encoder.device)}
    dense = Dense(weight.shape[1], weight.shape[0], activation_function=torch.nn.Identity(), **layers)
    return _with_modules(encoder, [*normalized(encoder), dense, Normalize()])


def _with_modules(encoder: Any, modules: list[Any]) -> Any:
    """A model of other modules with the prompts of ``encoder``, on its device."""
    from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports]  # extra `text`

    prompts = {"prompts": encoder.prompts, "default_prompt_name": encoder.default_prompt_name}
    return SentenceTransformer(modules=modules, device=str(encoder.device), **prompts)


def save_sentence_model(encoder: Any, model: TextEncoderModel, folder: str | os.PathLike) -> None:
    """Write the folder ``text_encoder`` of a recommender, a stock sentence-transformers model of its item vectors.

    Args:
        encoder: the model of the text vectors; adapters of PEFT are merged in what is saved.
        model: the recommender's model.
        folder: of the recommender.
    """
    merged = merged_encoder(encoder)
    stock = normalized(merged) if model.adaptor is None else with_adaptor(merged, model)
    stock.save_pretrained(str(Path(folder) / TEXT_ENCODER_FOLDER), create_model_card=False)


def merged_encoder(encoder: Any) -> Any:
    """A sentence-transformers model without adapters: a copy with merged ones, or the given model if it has none.

    Args:
        encoder: the model.
    """
    transformer = encoder[0]
    if not hasattr(getattr(transformer, "model", None), "merge_and_unload"):
        return encoder
    made = copy.deepcopy(encoder)
    made[0].model = made[0].model.merge_and_unload()
    return made


def load_saved_encoder(path_or_hub_id: str | os.PathLike, where: Mapping[str, Any], *, has_adaptor: bool) -> Any:
    """Load the model of the text vectors from a recommender, without the adaptor.

    Args:
        path_or_hub_id: the recommender's folder or Hub id.
        where: the revision, token and the like (`HUB_OPTIONS`) that the recommender is read with.
        has_adaptor: whether its last modules are the adaptor.

    Raises:
        FileNotFoundError: the recommender has no folder ``text_encoder``.
        ImportError: the extra ``text`` is not installed.
    """
    inside = "/".join(filter(None, (where.get("subfolder"), TEXT_ENCODER_FOLDER)))
    folder = Path(path_or_hub_id)
    if not folder.is_dir():
        options = {name: value for name, value in where.items() if name != "subfolder"}
        folder = Path(snapshot_download(str(path_or_hub_id), allow_patterns=[f"{inside}/*"], **options))
    folder = folder / inside
    if not (folder / "modules.json").is_file():
        raise FileNotFoundError(f"{path_or_hub_id} has no {inside}/: the texts were not encoded by a model of its own")
    encoder = load_sentence_model(str(folder), max_tokens=None)
    return _with_modules(encoder, list(encoder)[:-_ADDED]) if has_adaptor else encoder
