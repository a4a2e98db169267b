"""The prompt templates of LC-Rec's tasks."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

from ...prompting.templates import Template, read_templates


@lru_cache(maxsize=1)
def load_templates() -> dict[str, tuple[Template, ...]]:
    """Read the templates of each direction of a task (paper section III-C) from ``templates.yaml`` beside this file."""
    package = __name__.rpartition(".")[0]
    return read_templates(resources.files(package).joinpath("templates.yaml"))
