"""Refusing what was fitted on other data than it is used with."""

from __future__ import annotations

import logging
from typing import Any

from .fingerprints import DataFingerprint
from .interactions import RecDataset
from .item_index import ItemIndex
from .splits import RecSplit

logger = logging.getLogger(__name__)


def data_facts(dataset: RecDataset, split: RecSplit) -> dict[str, Any]:
    """What a model that was trained on a split is held against later, as JSON values.

    Args:
        dataset: the split's.
        split: whose training interactions the model has seen.
    """
    return {
        "protocol": split.strategy,
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
    """Refuse what was made from other data: it may have been fitted on what is held out here.

    Only what was recorded is compared: of something that was made from texts alone, the catalogue.

    Args:
        source: file, folder, Hub id or option, for errors.
        recorded: the fingerprint that it carries, or the one of ids alone that version 0.1 wrote, which is checked with
            a warning.
        dataset, split: what it is used with. split: ``None`` where only a catalogue is at hand.
        made: how errors say what was done with the data.
        other_data: go on although the data differ.
        by_row: its rows are the catalogue's items in order, so that another catalogue is always an error.
        details: what else differs, for errors.

    Raises:
        ValueError: names what differs: catalogue, interactions, split.
    """
    if isinstance(recorded, str):
        differing = [] if recorded in (dataset.ids_fingerprint, dataset.catalog_fingerprint) else ["items or users"]
        is_catalogue = bool(differing)  # which of both is not known
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
    if not differing or (other_data and not (by_row and is_catalogue)):
        return
    words = {
        "catalogue": "another catalogue",
        "interactions": "other interactions",
        "items or users": "another dataset",
    }
    if "split" in differing:
        theirs, ours = _strategy(recorded.split), _strategy(here.split)
        words["split"] = "another split" + (f" ({theirs}, here {ours})" if theirs != ours else "")
    found = f"{source} {made} {' and '.join(words[name] for name in differing)} than {dataset.name!r} here{details}"
    if by_row and is_catalogue:
        raise ValueError(f"{found}: its rows are not the items of this dataset; make it again from this one")
    raise ValueError(
        f"{found}: what is held out here may have been in its training (--other_data True goes on all the same)"
    )


def check_index(
    source: str, index: ItemIndex, dataset: RecDataset, split: RecSplit, *, other_data: bool = False
) -> None:
    """Refuse an index of another catalogue, or with codes from collaborative vectors that were fitted on other data.

    Args:
        source: folder, Hub id or option, for errors. index: which it is.
        dataset, split: what a model is to be trained on. other_data: go on although interactions or split differ.

    Raises:
        ValueError: names what differs: catalogue, interactions, split.
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
