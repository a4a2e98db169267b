"""Publishes a Gradio Space that shows published recommenders."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import jinja2
from packaging.requirements import Requirement

from ..data.files import write_text
from .export import full_name, make_repo, push_folder
from .published_files import all_files
from .requirements import push_requirement, write_requirements

EXTRA = "space"  # the extra of hf_llmrec that the app needs
_TEMPLATES = Path(__file__).parent / "templates" / "space"


def prepare_space(models: Sequence[str], output: str | os.PathLike, *, title: str = "hf_llmrec demo") -> None:
    """Write the contents of the Space except ``requirements.txt`` (see `requirement_files`): README and app.

    Args:
        models: Hub ids of recommenders over one catalogue; empty: the demo models, which are trained at the first
            start.
        output: folder to write to; it is created if it does not exist.
        title: title of the Space.

    Raises:
        ValueError: a model is not a Hub id: a Space cannot read local folders.
    """
    for model in models:
        if model.count("/") != 1 or Path(model).exists():
            raise ValueError(f"{model!r} is no Hub id (`owner/name`): a Space reads models from the Hub")
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    page = jinja2.Template((_TEMPLATES / "README.md.jinja").read_text(encoding="utf-8"), keep_trailing_newline=True)
    readme = page.render(title=title, models=list(models), gradio_version=_lowest("gradio"))
    write_text(output / "README.md", readme)
    shutil.copyfile(_TEMPLATES / "app.py.jinja", output / "app.py")


def publish_space(models: Sequence[str], repo_id: str, *, title: str = "hf_llmrec demo", **hub_options: Any) -> str:
    """Push a Space that shows published models.

    Args:
        models: Hub ids of recommenders over one catalogue; empty: the demo models.
        repo_id: ``name`` or ``owner/name``.
        title: title of the Space.
        hub_options: ``token``, ``private`` and ``revision``, as in `push_folder`.

    Returns:
        The address of the commit.

    Raises:
        ValueError: a model is not a Hub id.
    """
    token, private = hub_options.get("token"), hub_options.get("private")
    repo_id = full_name(repo_id, token=token)
    where = {"repo_type": "space", "token": token, "revision": hub_options.get("revision")}
    with tempfile.TemporaryDirectory() as staging:
        prepare_space(models, staging, title=title)
        make_repo(repo_id, repo_type="space", token=token, private=private)
        write_requirements(staging, push_requirement(repo_id, extra=EXTRA, **where))
        return push_folder(staging, all_files(staging), repo_id, private=private, **where)


def _lowest(name: str) -> str:
    """The lowest version of a dependency that the package's metadata allow."""
    dependencies = (Requirement(line) for line in requires("hf_llmrec") or [])
    specifier = next(each.specifier for each in dependencies if each.name == name)
    return next(part.version for part in specifier if part.operator == ">=")
