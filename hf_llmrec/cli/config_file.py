"""Reads ``--config`` files."""

from __future__ import annotations

import os
import re
from typing import Any

import yaml


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """Read the options of a YAML file.

    Args:
        path: the file.

    Raises:
        ValueError: the file is not a YAML mapping; names it.
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
    """Reads ``1e-4`` as a number, as YAML 1.2 does. PyYAML reads YAML 1.1, where it needs a decimal point."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
