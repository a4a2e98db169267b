"""Options of ``train fusion``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..methods.fusion.parts import check_part_names
from .options import SameDataArguments
from .results import changed_options


@dataclass
class FusionArguments(SameDataArguments):
    """Which recommenders rank together. The other parameters are those of [`SameDataArguments`].

    Args:
        parts: recommender folders or Hub ids, at least two. Required.
        names: their names; default: the last component of each path.
        weights: their weights; default: learned on validation users, see `fit_weights`.
        num_candidates: items that each part proposes.
        by_history: let weights depend on the length of the history, if that improves cross-validated NDCG@10.
        by_reference: save the Hub ids of parts that lie on the Hub instead of copies.
        cold_parts: ``NAME=FOLDER`` of parts that shall have a say about items without training interactions: FOLDER
            holds the same method, trained with further items held out (``--cold_items``, with one more
            ``--cold_seed`` where items are already held out), see `fit_cold_weights`.
    """

    parts: list[str] = field(default_factory=list, metadata={"help": "recommender folders or Hub ids, at least two"})
    names: list[str] = field(default_factory=list, metadata={"help": "names of the parts (default: of their folders)"})
    weights: list[float] = field(
        default_factory=list, metadata={"help": "weights of the parts (default: learned on validation users)"}
    )
    num_candidates: int = field(default=100, metadata={"help": "items that each part proposes"})
    by_history: bool = field(
        default=True,
        metadata={"help": "weights depend on the length of the history, if cross-validation favours it"},
    )
    by_reference: bool = field(default=False, metadata={"help": "save Hub ids of parts instead of copies"})
    cold_parts: list[str] = field(
        default_factory=list,
        metadata={"help": "NAME=FOLDER: a part that scores new items, trained with further --cold_items"},
    )

    def __post_init__(self):
        if len(self.parts) < 2:
            raise ValueError(f"--parts needs at least two recommenders, got {self.parts}")
        self.names = self.names or [part.rstrip("/").rpartition("/")[2].partition("@")[0] for part in self.parts]
        if len(self.names) != len(self.parts) or len(set(self.names)) < len(self.names):
            raise ValueError(f"--names must be {len(self.parts)} different names, got {self.names}")
        check_part_names(self.names)
        if self.weights and (len(self.weights) != len(self.parts) or min(self.weights) < 0 or not any(self.weights)):
            raise ValueError(f"--weights must be {len(self.parts)} non-negative numbers, not all 0, got {self.weights}")
        if self.num_candidates < 1:
            raise ValueError(f"--num_candidates must be at least 1, got {self.num_candidates}")
        for pair in self.cold_parts:
            name, is_pair, folder = pair.partition("=")
            if not is_pair or not folder or name not in self.names:
                raise ValueError(f"--cold_parts must be NAME=FOLDER with a name of {self.names}, got {pair!r}")
        if len(self.cold_folders) < len(self.cold_parts):
            raise ValueError(f"--cold_parts names a part twice: {self.cold_parts}")
        if self.cold_parts and self.weights:
            raise ValueError(
                "--cold_parts has weights of its own, which are chosen with the others: leave --weights out"
            )

    @property
    def cold_folders(self) -> dict[str, str]:
        """The folders of ``--cold_parts`` by name."""
        return dict(pair.split("=", 1) for pair in self.cold_parts)

    @property
    def changed(self) -> dict[str, Any]:
        """Options that differ from their defaults; parts by name."""
        changed = changed_options(self, FusionArguments(dataset="", parts=["a", "b"]))
        own = {name: value for name, value in changed.items() if name not in ("parts", "cold_parts")}
        # Names alone: the report is published, and folders are the machine's.
        return {**own, "names": self.names, **({"cold_parts": sorted(self.cold_folders)} if self.cold_parts else {})}
