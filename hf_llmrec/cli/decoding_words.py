"""How commands say that decoding was slower than it could be."""

from __future__ import annotations


def without_the_tree(reason: str) -> str:
    """The line that says at the end of a command why ranking took longer than it could."""
    return f"items were ranked by `generate`, without the tree of beams, which takes several times longer: {reason}"
