"""Callbacks for trainers that are created elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from transformers import TrainerCallback

_ADDED: ContextVar[tuple[TrainerCallback, ...]] = ContextVar("added_callbacks", default=())


@contextmanager
def added_callbacks(*callbacks: TrainerCallback) -> Iterator[None]:
    """Add callbacks to every trainer of this package that is created inside the block.

    Args:
        callbacks: instances; trainers share them.

    Example:
        ```python
        with added_callbacks(callback):
            main(["train", "sasrec", "--dataset", "demo", "--output_dir", "out"])
        ```
    """
    token = _ADDED.set((*_ADDED.get(), *callbacks))
    try:
        yield
    finally:
        _ADDED.reset(token)


def callbacks_in_scope() -> tuple[TrainerCallback, ...]:
    """The callbacks of the blocks of `added_callbacks` that are open."""
    return _ADDED.get()
