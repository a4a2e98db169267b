"""Whether a saved model may be evaluated on a split or trained further on it."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from ..data.fingerprints import DataFingerprint
from ..data.interactions import RecDataset
from ..data.recommender_folder import load_settings
from ..data.same_data import check_same_data
from ..data.splits import RecSplit
from .options import SameDataArguments

logger = logging.getLogger("hf_llmrec")


def check_training_data(
    model: str, arguments: SameDataArguments, dataset: RecDataset, split: RecSplit, **hub_kwargs: Any
) -> None:
    """Refuse a model that may have been trained on the held-out interactions, unless ``--other_data`` is set.

    Args:
        model: recommender folder or Hub id.
        arguments: options that ``dataset`` and ``split`` were made with.
        dataset: the model's new data.
        split: what is held out of ``dataset``.
        hub_kwargs: ``revision`` and other options of `load_settings`.

    Raises:
        ValueError: the model was trained on other data or another split; says what differs.
    """
    trained = load_settings(model, **hub_kwargs).get("data", {})
    if trained.get("other_data"):
        logger.warning(
            "%s was itself trained with --other_data True: its training may have contained what is held out", model
        )
    current = arguments.data_facts(dataset)
    different = [
        f"{name} {trained[name]}, this is {current[name]}"
        for name in ("protocol", "k_core", "num_interactions")
        if name in trained and trained[name] != current[name]
    ]
    different += [
        f"{name} {trained.get(name, 0)}, this is {current.get(name, 0)}"
        for name in ("cold_items", "cold_seed")
        if trained.get(name, 0) != current.get(name, 0)
    ]
    details = f" ({'; '.join(different)})" if different else ""
    check = {"other_data": arguments.other_data, "by_row": False, "made": "was trained on", "details": details}
    if "fingerprint" in trained:
        check_same_data(model, DataFingerprint.from_dict(trained["fingerprint"], model), dataset, split, **check)
    elif "dataset_fingerprint" in trained:  # from version 0.1, which also compared these facts
        check_same_data(model, trained["dataset_fingerprint"], dataset, split, **check)
        if different and not arguments.other_data:
            raise ValueError(
                f"{model} was trained with {'; '.join(different)}: what is held out here may have been in its training "
                "(--other_data True goes on all the same)"
            )


def check_base(
    base: str | None, arguments: SameDataArguments, dataset: RecDataset, split: RecSplit, **hub_kwargs: Any
) -> None:
    """`check_training_data` for the model that training starts from, if it is a saved recommender.

    Args:
        base: ``--model_name_or_path``; ``None``: training starts from scratch.
        arguments: options that ``dataset`` and ``split`` were made with.
        dataset: what to train on.
        split: what is held out of ``dataset``.
        hub_kwargs: ``revision`` and other options of `load_settings`.
    """
    if not base:
        return
    # Without this file it is no recommender. If only the download failed, that of the weights will fail, too.
    with contextlib.suppress(FileNotFoundError):
        check_training_data(base, arguments, dataset, split, **hub_kwargs)
