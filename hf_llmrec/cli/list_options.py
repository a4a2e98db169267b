"""Options with several values, for every command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Any


class ListAction(argparse.Action):
    """Stores a list. An option that is repeated extends the list; the first use replaces the default."""

    _latest: list | None = None

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest, None)
        # Only a list that this action made for this command line is extended; any other is a default.
        earlier = before if before is not None and before is self._latest else []
        self._latest = [*earlier, *(values or ())]
        setattr(namespace, self.dest, self._latest)


class ListOptions(argparse.ArgumentParser):
    """A parser that reads lists as people write them.

    ``--history A B``, ``--history A --history B`` and ``--history=A --history=B`` mean the same. Values may begin with
    one dash. Values that begin with two dashes follow ``=``, or stand at the end of the command after ``--history --``.
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
        """How to write list values that look like options; empty if no option takes a list."""
        names = [name for action in self._lists() for name in action.option_strings]
        return f" (of {', '.join(names)}, write values that begin with two dashes {names[0]}=VALUE)" if names else ""

    def _lists(self) -> Iterator[argparse.Action]:
        return (action for action in self._actions if isinstance(action, ListAction))

    def _with_values_joined(self, words: Iterable[str]) -> Iterator[str]:
        """``--history A -B`` as ``--history=A --history=-B``, which argparse never takes for options."""
        lists = {name for action in self._lists() for name in action.option_strings}
        options = set(self._option_string_actions)
        words = list(words)
        place = 0
        while place < len(words):
            option = words[place]
            place += 1
            if option == "--":  # no options follow it, by convention
                yield from words[place - 1 :]
                return
            if option not in lists:
                yield option
                continue
            if words[place : place + 1] == ["--"]:
                values, place = words[place + 1 :], len(words)
            else:
                values = list(takewhile(lambda word: _is_value(word, options), words[place:]))
                place += len(values)
            yield from [f"{option}={value}" for value in values] or [option]


def _is_value(word: str, options: set[str]) -> bool:
    return not word.startswith("--") and word not in options
