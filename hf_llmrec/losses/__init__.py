"""Contrastive losses, and the queue of keys that they take negatives from."""

from .info_nce import InfoNCEOutput, alignment, info_nce, uniformity
from .momentum_queue import MomentumQueue, matches

__all__ = [
    "InfoNCEOutput",
    "MomentumQueue",
    "alignment",
    "info_nce",
    "matches",
    "uniformity",
]
