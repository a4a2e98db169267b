"""Parses options that are dataclass fields, from the command line and a ``--config`` file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast, get_type_hints

from trl import TrlParser  # pyright: ignore[reportPrivateImportUsage]  # trl exports it lazily

from .config_file import read_config
from .json_options import json_object
from .list_options import ListOptions

if TYPE_CHECKING:
    import argparse

    from transformers.hf_argparser import DataClassType


class OptionParser(ListOptions, TrlParser):
    """A `trl.TrlParser` whose errors name the option or the file that cannot be read.

    Numbers such as ``1e-4`` are numbers in a ``--config`` file, also inside mappings.

    Args:
        dataclass_types: dataclasses whose fields are the options.
    """

    def __init__(self, dataclass_types: tuple[type, ...]):
        # transformers declares a NewType of Any here, to which type checkers assign no class.
        super().__init__(cast("tuple[DataClassType, ...]", dataclass_types))

    def parse_args_and_config(self, args: Iterable[str], return_remaining_strings: bool = False) -> tuple[Any, ...]:
        """Parse a command line, as `TrlParser.parse_args_and_config` does.

        Args:
            args: words of the command line.
            return_remaining_strings: return unknown words, too, instead of refusing them.

        Returns:
            an object of each dataclass; with ``return_remaining_strings`` also the list of unknown words.

        Raises:
            ValueError: the ``--config`` file is no YAML mapping or has unknown options, a value is malformed JSON, or
                there are unknown words.
        """
        words, path = without_config(list(args))
        unknown: list[str] = []
        if path is not None:
            config = read_config(path)
            os.environ.update({name: str(value) for name, value in config.pop("env", {}).items()})
            lists = {action.dest for action in self._lists()}
            for name, value in config.items():
                if name in lists and value is not None and not isinstance(value, list):
                    config[name] = [value]  # one value, as on the command line
            unknown = self.set_defaults_with_config(**config)
            if unknown and not return_remaining_strings:
                raise ValueError(f"{path}: there is no option {', '.join(unknown[::2])}")
        *parsed, rest = self.parse_args_into_dataclasses(words, return_remaining_strings=True)
        if return_remaining_strings:
            return (*parsed, [*unknown, *rest])
        if rest:
            raise ValueError(f"unrecognized arguments: {' '.join(rest)}{self.hint()}")
        return tuple(parsed)

    def parse_known_args(
        self, args: Iterable[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        namespace, rest = super().parse_known_args(args, namespace)
        for kind in self.dataclass_types:
            # Not from `dataclasses.fields`, whose types transformers' parser has replaced.
            for name, annotation in get_type_hints(kind).items():
                value = getattr(namespace, name, None)
                # Values that are no JSON objects are left to the option: they may be file names.
                if "dict" in str(annotation) and isinstance(value, str) and value.lstrip().startswith("{"):
                    json_object(name, value)
        return namespace, rest


def without_config(words: list[str]) -> tuple[list[str], str | None]:
    """Split ``--config FILE`` or ``--config=FILE`` off the words; returns the other words and the file."""
    rest, path, is_path = [], None, False
    for word in words:
        if is_path:
            path, is_path = word, False
        elif word == "--config":
            is_path = True
        elif word.startswith("--config="):
            path = word.partition("=")[2]
        else:
            rest.append(word)
    if is_path:
        raise ValueError("--config needs a YAML file")
    return rest, path
