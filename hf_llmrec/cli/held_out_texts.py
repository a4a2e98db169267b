"""Whether the texts that `train lcrec` and `evaluate --tasks` hold out were held out of a model's training."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from ..data.held_out_texts import HeldOutTexts
from ..data.recommender_folder import load_settings

logger = logging.getLogger("hf_llmrec")


def check_held_out_texts(
    model: str, wanted: HeldOutTexts | None, *, other_data: bool = False, **hub_kwargs: Any
) -> None:
    """Refuse a model whose training may have read the texts that are held out now.

    Args:
        model: recommender folder or Hub id.
        wanted: whose texts are held out; ``None``: all texts may have been read.
        other_data: go on all the same, with a warning.
        hub_kwargs: ``revision`` and other options of `load_settings`.

    Raises:
        ValueError: the model was trained with other texts held out, or with none.
    """
    trained = HeldOutTexts.of_facts(load_settings(model, **hub_kwargs).get("data", {}))
    if wanted is None or trained == wanted:
        return
    message = (
        f"{model} was trained with {trained or 'all texts'}, this is {wanted}: the training may have read the texts "
        "that are held out here"
    )
    if not other_data:
        raise ValueError(f"{message} (--other_data True goes on all the same)")
    logger.warning(message)


def check_base_texts(base: str | None, wanted: HeldOutTexts | None, other_data: bool, **hub_kwargs: Any) -> None:
    """`check_held_out_texts` for the model that training starts from, if it is a saved recommender.

    Args:
        base: ``--model_name_or_path``; ``None``: training starts from scratch.
        wanted: whose texts are held out.
        other_data: go on all the same, with a warning.
        hub_kwargs: ``revision`` and other options of `load_settings`.

    Raises:
        ValueError: the model was trained with other texts held out, or with none.
    """
    if not base:
        return
    # Without this file it is no recommender, but a language model that has seen no catalogue.
    with contextlib.suppress(FileNotFoundError):
        check_held_out_texts(base, wanted, other_data=other_data, **hub_kwargs)


def texts_to_evaluate(
    model: str, share: float | None, seed: int | None, *, other_data: bool = False
) -> HeldOutTexts | None:
    """Whose texts `evaluate --tasks` reports apart.

    Args:
        model: recommender folder or Hub id.
        share: ``--held_out_texts``; ``None``: as the model was trained.
        seed: ``--held_out_texts_seed``; ``None``: as the model was trained, or 0.
        other_data: accept a choice that the model was not trained with.

    Raises:
        ValueError: the model was trained with other texts held out, or with none.
    """
    trained = HeldOutTexts.of_facts(load_settings(model).get("data", {}))
    if share is None and (seed is None or trained is None):
        return trained
    number = seed if seed is not None else trained.seed if trained else 0
    wanted = HeldOutTexts.of_options(share if share is not None else trained.share if trained else 0.0, number)
    check_held_out_texts(model, wanted, other_data=other_data)
    return wanted
