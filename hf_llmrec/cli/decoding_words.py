"""The notice that decoding was slower than it could be."""

from __future__ import annotations


def without_the_tree(reason: str) -> str:
    """The line that a command prints at its end if items were ranked without the tree of beams.

    Args:
        reason: why the tree could not be used.
    """
    return f"items were ranked by `generate`, without the tree of beams, which takes several times longer: {reason}"
