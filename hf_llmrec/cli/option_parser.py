"""Options of commands that are dataclasses, from the command line and a ``--config`` file."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable
from typing import Any

import yaml
from trl import TrlParser

from .list_options import ListOptions, json_object


class OptionParser(ListOptions, TrlParser):
    """`trl.TrlParser` that names the option or the file when a value cannot be read.

    Numbers such as ``1e-4`` are numbers in a ``--config`` file, also inside mappings.

    Raises:
        ValueError: from `parse_args_and_config`: a file that is no YAML mapping or has unknown options, or malformed
            JSON.
    """

    def parse_args_and_config(self, args: Iterable[str], return_remaining_strings: bool = False) -> tuple[Any, ...]:
        """As `TrlParser.parse_args_and_config`, whose other options no command uses."""
        words, path = _without_config(list(args))
        unknown: list[str] = []
        if path is not None:
            config = read_config(path)
            os.environ.update({name: str(value) for name, value in config.pop("env", {}).items()})
            unknown = self.set_defaults_with_config(**config)
            if unknown and not return_remaining_strings:
                raise ValueError(f"{path}: there is no option {', '.join(unknown[::2])}")
        *parsed, rest = self.parse_args_into_dataclasses(words, return_remaining_strings=True)
        if return_remaining_strings:
            return (*parsed, [*unknown, *rest])
        if rest:
            raise ValueError(f"unrecognized arguments: {' '.join(rest)}{self.hint()}")
        return tuple(parsed)

    def parse_known_args(self, args=None, namespace=None):
        found, rest = super().parse_known_args(args, namespace)
        for kind in self.dataclass_types:
            for base in kind.__mro__:  # `dataclasses.fields` gives what transformers' parser has made of the types
                for name, annotation in inspect.get_annotations(base).items():
                    if "dict" in str(annotation):
                        value = getattr(found, name, None)
                        # Other values than JSON objects are whatever the option makes of them, as a file's name.
                        if isinstance(value, str) and value.lstrip().startswith("{"):
                            json_object(name, value)
        return found, rest


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """Options of a YAML file.

    Raises:
        ValueError: not a YAML mapping; names the file.
    """
    with open(path, encoding="utf-8") as stream:
        try:
            config = yaml.load(stream, _Loader)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(config, dict) or not isinstance(config.get("env", {}), dict):
        raise ValueError(f"{path}: must be a YAML mapping of options, and `env` in it one of variables")
    return config


class _Loader(yaml.SafeLoader):
    """YAML 1.1, which PyYAML reads, knows no number without a point before its exponent; YAML 1.2 and people do."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _without_config(words: list[str]) -> tuple[list[str], str | None]:
    """The words without ``--config FILE`` or ``--config=FILE``, and the file."""
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
