"""Holding out texts: a share of the catalogue whose titles, descriptions and intentions no text task is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class HeldOutTexts:
    """Which items' texts are held out. Their interactions are not: they are trained on as those of all items.

    Args:
        share: share of the catalogue, above 0 and below 1.
        seed: of the choice.

    Raises:
        ValueError: a share out of range.

    Example:
        ```python
        print(HeldOutTexts(0.2).choose(10).sum())  # 2
        ```
    """

    share: float
    seed: int = 0

    def __post_init__(self):
        if not 0 < self.share < 1:
            raise ValueError(f"held_out_texts must be a share of the items from 0 to below 1, got {self.share}")

    @classmethod
    def of_options(cls, share: float, seed: int = 0) -> HeldOutTexts | None:
        """The choice that options make; ``None`` for a share of 0.

        Args:
            share: share of the catalogue, from 0 to below 1.
            seed: of the choice.

        Raises:
            ValueError: a share out of range.
        """
        return cls(share, seed) if share != 0 else None

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> HeldOutTexts | None:
        """Inverse of `facts`; ``None`` if nothing is recorded.

        Args:
            facts: record of a model's training data, which may hold other entries, too.
        """
        return cls.of_options(facts.get("held_out_texts", 0.0), facts.get("held_out_texts_seed", 0))

    @property
    def facts(self) -> dict[str, Any]:
        """The options that make this choice, as JSON values; recorded with a model's training data."""
        return {"held_out_texts": self.share, "held_out_texts_seed": self.seed}

    def choose(self, num_items: int) -> np.ndarray:
        """The items whose texts are held out: at least one, and not all.

        Args:
            num_items: size of the catalogue.

        Returns:
            bool (num_items,).
        """
        count = min(max(round(self.share * num_items), 1), num_items - 1)
        chosen = np.zeros(num_items, dtype=bool)
        chosen[np.random.default_rng(self.seed).choice(num_items, count, replace=False)] = True
        return chosen

    def __str__(self) -> str:
        return f"held_out_texts {self.share:g} with held_out_texts_seed {self.seed}"
