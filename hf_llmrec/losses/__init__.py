"""Contrastive losses and the queue that feeds them."""

from .graph_alignment import ALIGNMENTS, GraphAlignment, PairBatch
from .info_nce import InfoNCEOutput, alignment, info_nce, uniformity
from .momentum_queue import MomentumQueue, matches

__all__ = [
    "ALIGNMENTS",
    "GraphAlignment",
    "InfoNCEOutput",
    "MomentumQueue",
    "PairBatch",
    "alignment",
    "info_nce",
    "matches",
    "uniformity",
]
