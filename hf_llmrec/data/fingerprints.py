"""Fingerprints of the data that a model, an index or a file was made from: catalogue, interactions and split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Version 1 was a hash of item and user ids, without the interactions.
VERSION = 2


def catalog_fingerprint(item_ids: Sequence[str]) -> str:
    """sha256 (hex) of the item ids in order. Ids are length-prefixed, so that different lists never hash equal bytes.

    Args:
        item_ids: ids in row order.
    """
    digest = hashlib.sha256()
    for item in item_ids:
        raw = item.encode("utf-8")
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    return digest.hexdigest()


def ids_fingerprint(item_ids: Sequence[str], user_ids: Sequence[str]) -> str:
    """sha256 (hex) of item and user ids in order, as version 0.1 of the package recorded for a dataset.

    Args:
        item_ids: ids of the items in row order.
        user_ids: ids of the users in row order.
    """
    both = f"{catalog_fingerprint(item_ids)}:{catalog_fingerprint(user_ids)}"
    return hashlib.sha256(both.encode()).hexdigest()


@dataclass(frozen=True)
class DataFingerprint:
    """The data that a model, an index or a file was made from.

    Attributes:
        catalogue: hash of the item ids, see `catalog_fingerprint`.
        interactions: hash of who interacted with what in which order, see `interaction_fingerprints`; ``None``: made
            from texts alone.
        split: strategy and hash of the held-out interactions, see `interaction_fingerprints`; ``None``: made without a
            split.
    """

    catalogue: str
    interactions: str | None = None
    split: str | None = None

    def differences(self, other: DataFingerprint) -> list[str]:
        """Names of the parts that are present in both fingerprints and differ.

        Args:
            other: fingerprint to compare with.
        """
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in ("catalogue", "interactions", "split")}
        return [name for name, (mine, theirs) in pairs.items() if None not in (mine, theirs) and mine != theirs]

    def to_dict(self) -> dict[str, Any]:
        """JSON form, including the version of the fingerprints."""
        return {
            "version": VERSION,
            "catalogue": self.catalogue,
            "interactions": self.interactions,
            "split": self.split,
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any], source: str) -> DataFingerprint:
        """Inverse of `to_dict`.

        Args:
            value: a JSON object.
            source: file or folder that error messages name.

        Raises:
            ValueError: not a fingerprint of this version.
        """
        if not isinstance(value, dict) or value.get("version") != VERSION or not value.get("catalogue"):
            raise ValueError(
                f"{source}: its data fingerprint is not one that this version of hf_llmrec reads (version {VERSION}): "
                f"{json.dumps(value)[:100]}"
            )
        return cls(value["catalogue"], value.get("interactions"), value.get("split"))
