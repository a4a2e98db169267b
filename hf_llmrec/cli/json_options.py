"""Options that take a JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    JsonObject = dict[str, Any]  # what a dataclass holds once its `__post_init__` has called `json_object`
else:
    JsonObject = dict[str, Any] | str | None  # what the parser of the command line or a `--config` file gives


def json_object(option: str, value: dict[str, Any] | str | None) -> dict[str, Any]:
    """The value of an option that takes a JSON object.

    Args:
        option: its name, without dashes, for errors.
        value: JSON from the command line, or a mapping from a ``--config`` file; ``None``: an empty object.

    Raises:
        ValueError: the value is no JSON object; names the option.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"--{option}: not valid JSON ({error}): {value}") from error
    if value is not None and not isinstance(value, dict):
        raise ValueError(f'--{option} must be a JSON object, as {{"name": value}}, got {json.dumps(value)}')
    return value or {}


@contextmanager
def naming(option: str) -> Iterator[None]:
    """A context that raises errors about a value inside an option's JSON object as ValueErrors that name the option.

    An error that names an option already is raised unchanged.

    Args:
        option: its name, without dashes.
    """
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except (ValueError, TypeError, StrictDataclassError) as error:
        if str(error).startswith("--"):
            raise
        raise ValueError(f"--{option}: {' '.join(str(error).split())}") from error
