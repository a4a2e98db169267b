"""Refuses models, indices and files that are used with other data than they were fitted on."""

from __future__ import annotations

import logging
from typing import Any

from .fingerprints import DataFingerprint
from .interactions import RecDataset
from .item_index import ItemIndex
from .splits import RecSplit

logger = logging.getLogger(__name__)


def data_facts(dataset: RecDataset, split: RecSplit) -> dict[str, Any]:
    """The record of a model's training data that later data are compared with, as JSON values.

    Held-out items are named only if there are any.

    Args:
        dataset: dataset of the split.
        split: split on whose training interactions the model was trained.
    """
    cold = {} if split.cold is None else split.cold.facts
    return {
        "protocol": split.strategy,
        **cold,
        "num_interactions": dataset.num_interactions,
        "fingerprint": dataset.data_fingerprint(split).to_dict(),
    }


def check_same_data(
    source: str,
    recorded: DataFingerprint | str,
    dataset: RecDataset,
    split: RecSplit | None,
    *,
    made: str = "was made for",
    other_data: bool = False,
    by_row: bool = True,
    details: str = "",
) -> None:
    """Refuse an artefact that was made from other data: it may have been fitted on what is held out here.

    Only recorded parts are compared: for an artefact that was made from texts alone, the catalogue.

    Args:
        source: file, folder, Hub id or option that error messages name.
        recorded: fingerprint that the artefact carries; a str is the fingerprint of ids alone that version 0.1 wrote,
            which is checked with a warning.
        dataset: dataset that the artefact is used with.
        split: split that the artefact is used with; ``None``: it is used with a catalogue only.
        made: verb phrase of error messages for how the artefact was made from the data.
        other_data: accept other data.
        by_row: the rows of the artefact are the items of the catalogue, in order, so that another catalogue is always
            an error.
        details: text that is appended to error messages about what else differs.

    Raises:
        ValueError: the data differ. The message says in what: catalogue, interactions or split.
    """
    other_split = "another split"
    if isinstance(recorded, str):
        differing = [] if recorded in (dataset.ids_fingerprint, dataset.catalog_fingerprint) else ["items or users"]
        is_catalogue = bool(differing)  # or the users: the fingerprint does not tell which
        if recorded == dataset.ids_fingerprint:
            logger.warning(
                "%s carries a fingerprint of version 0.1, of item and user ids only: whether its interactions and its "
                "split are those of %r was not checked",
                source,
                dataset.name,
            )
    else:
        here = dataset.data_fingerprint(split)
        differing = recorded.differences(here)
        is_catalogue = "catalogue" in differing
        if split is None and recorded.split is not None and not other_data:
            raise ValueError(f"{source} {made} a split ({_strategy(recorded.split)}): pass the split it is used with")
        if recorded.split is not None and here.split is not None:
            theirs, ours = _strategy(recorded.split), _strategy(here.split)
            other_split += f" ({theirs}, here {ours})" if theirs != ours else ""
    if not differing or (other_data and not (by_row and is_catalogue)):
        return
    words = {
        "catalogue": "another catalogue",
        "interactions": "other interactions",
        "items or users": "another dataset",
        "split": other_split,
    }
    message = f"{source} {made} {' and '.join(words[name] for name in differing)} than {dataset.name!r} here{details}"
    if by_row and is_catalogue:
        raise ValueError(f"{message}: its rows are not the items of this dataset; make it again from this one")
    raise ValueError(
        f"{message}: what is held out here may have been in its training (--other_data True goes on all the same)"
    )


def check_index(
    source: str, index: ItemIndex, dataset: RecDataset, split: RecSplit, *, other_data: bool = False
) -> None:
    """Refuse an index of another catalogue, or one built from collaborative vectors that were fitted on other data.

    Args:
        source: folder, Hub id or option that error messages name.
        index: index to check.
        dataset: dataset that a model is to be trained on.
        split: split that a model is to be trained on.
        other_data: accept other interactions or another split.

    Raises:
        ValueError: the data differ. The message says in what: catalogue, interactions or split.
    """
    recorded = index.data_fingerprint
    check_same_data(source, recorded, dataset, split, made="was built for", other_data=other_data)
    if recorded.interactions is None and index.is_collaborative:
        logger.warning(
            "%s was built with collaborative embeddings and does not say of which interactions: whether these were "
            "fitted on what is held out here was not checked",
            source,
        )


def _strategy(split: str) -> str:
    return split.partition(":")[0]
