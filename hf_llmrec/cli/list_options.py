"""Options with several values, and options that are JSON, of every command."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import Any


class ListAction(argparse.Action):
    """Stores a list; an option that is given again adds to it, and replaces a default."""

    _latest: list | None = None

    def __call__(self, parser, namespace, values, option_string=None):
        before = getattr(namespace, self.dest, None)
        # The list that this action made for this command line; anything else is a default.
        self._latest = [*before, *values] if before is not None and before is self._latest else list(values)
        setattr(namespace, self.dest, self._latest)


class ListOptions(argparse.ArgumentParser):
    """Reads lists as people write them.

    ``--history A B``, ``--history A --history B`` and ``--history=A --history=B`` are the same. Values may begin with
    one dash; those that begin with two follow ``=``, or stand at the end of the command after ``--history --``.
    """

    def add_argument(self, *names, **options):
        if options.get("nargs") in ("*", "+") and "action" not in options and names[0].startswith("-"):
            options["action"] = ListAction
        return super().add_argument(*names, **options)

    def parse_known_args(self, args=None, namespace=None):
        words = self._with_values_joined(sys.argv[1:] if args is None else args)
        return super().parse_known_args(list(words), namespace)

    def error(self, message):
        super().error(f"{message}{self.hint()}" if message.startswith("unrecognized arguments: -") else message)

    def hint(self) -> str:
        """How values are written that look like options, where there are lists."""
        names = [name for action in self._lists() for name in action.option_strings]
        return f" (of {', '.join(names)}, write values that begin with two dashes {names[0]}=VALUE)" if names else ""

    def _lists(self) -> Iterator[argparse.Action]:
        return (action for action in self._actions if isinstance(action, ListAction))

    def _with_values_joined(self, words: Iterable[str]) -> Iterator[str]:
        """``--history A -B`` as ``--history=A --history=-B``, which argparse takes for values whatever they are."""
        lists = {name for action in self._lists() for name in action.option_strings}
        known = set(self._option_string_actions)
        words = list(words)
        place = 0
        while place < len(words):
            option = words[place]
            place += 1
            if option == "--":  # what follows is no option, here as everywhere
                yield from words[place - 1 :]
                return
            if option not in lists:
                yield option
                continue
            if words[place : place + 1] == ["--"]:
                values, place = words[place + 1 :], len(words)
            else:
                values = list(takewhile(lambda word: _is_value(word, known), words[place:]))
                place += len(values)
            yield from [f"{option}={value}" for value in values] or [option]


def _is_value(word: str, known: set[str]) -> bool:
    return not word.startswith("--") and word not in known


def json_object(option: str, value: dict[str, Any] | str | None) -> dict[str, Any]:
    """The value of an option that takes a JSON object, or from a ``--config`` file a mapping; ``None`` is empty.

    Raises:
        ValueError: it is something else; names the option.
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
    """What is wrong with a value inside an option's JSON object is raised as a ValueError that names the option.

    An error that names an option already stays as it is.
    """
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except (ValueError, TypeError, StrictDataclassError) as error:
        if str(error).startswith("--"):
            raise
        raise ValueError(f"--{option}: {' '.join(str(error).split())}") from error
