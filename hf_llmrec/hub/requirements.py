"""The ``requirements.txt`` of published repositories.

Until hf_llmrec is on PyPI, anyone could register that name and run code wherever a repository requires it. Therefore
the wheel is part of the repository, and the requirement is the wheel's URL there, with the revision and the wheel's
hash. A relative path would not work: containers install requirements from another folder than the repository's.
"""

from __future__ import annotations

import hashlib
import logging
import os
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import hf_hub_url
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ..data.files import write_text
from .export import is_private, push_file
from .package_wheel import make_wheel
from .published_files import REQUIREMENTS_FILE

logger = logging.getLogger("hf_llmrec")
# To be set to True after the first release on PyPI. Repositories then require that version or a newer one, without a
# wheel.
RELEASED = False
VARIABLE = "HF_LLMREC_REQUIREMENT"
_NAME = "hf_llmrec"


def push_requirement(
    repo_id: str,
    *,
    repo_type: str = "model",
    extra: str | None = None,
    token: str | None = None,
    revision: str | None = None,
) -> str:
    """Push the wheel to an existing repository if it needs one, and return the requirement of hf_llmrec.

    Args:
        repo_id: ``owner/name``.
        repo_type: ``model`` or ``space``.
        extra: extra of hf_llmrec that the repository needs.
        token: token for the Hub; default: that of the login.
        revision: branch to push to; default: ``main``. The requirement names a commit of this branch.

    Returns:
        A line of a requirements file.

    Raises:
        ValueError: ``HF_LLMREC_REQUIREMENT`` is set and is not a requirement of hf_llmrec.
    """
    line = _without_wheel(extra)
    if line is not None:
        return line
    where = {"repo_type": repo_type, "token": token}
    name, content = make_wheel()
    commit = push_file(name, content, repo_id, revision=revision, **where)
    if is_private(repo_id, **where):
        logger.warning(
            "%s is private, and pip sends no token for the wheel in it: where its %s is installed, hf_llmrec must be "
            "had from elsewhere; set %s (docs/serving.md, Private repositories)",
            *(repo_id, REQUIREMENTS_FILE, VARIABLE),
        )
    return _at(repo_id, repo_type, commit, name, content, extra)


def write_requirements(folder: str | os.PathLike, line: str) -> None:
    """Write ``requirements.txt``.

    Args:
        folder: folder to write to.
        line: the requirement.
    """
    write_text(Path(folder) / REQUIREMENTS_FILE, f"{line}\n")


def requirement_files(repo_id: str, *, repo_type: str = "model", extra: str | None = None) -> dict[str, bytes]:
    """``requirements.txt``, and the wheel if it needs one, for a folder that will be pushed by other means.

    The commit does not exist yet, so the requirement names the branch ``main`` and the hash of the wheel.

    Args:
        repo_id: ``owner/name`` of the repository.
        repo_type: ``model`` or ``space``.
        extra: extra of hf_llmrec that the repository needs.

    Returns:
        Contents by file name.

    Raises:
        ValueError: ``repo_id`` has no owner, or as in `push_requirement`.
    """
    line = _without_wheel(extra)
    if line is not None:
        return {REQUIREMENTS_FILE: f"{line}\n".encode()}
    if repo_id.count("/") != 1:
        raise ValueError(
            f"{repo_id!r} has no owner: {REQUIREMENTS_FILE} names the repository, `owner/name`, that hf_llmrec is "
            "installed from"
        )
    name, content = make_wheel()
    line = _at(repo_id, repo_type, "main", name, content, extra)
    return {REQUIREMENTS_FILE: f"{line}\n".encode(), name: content}


def _without_wheel(extra: str | None) -> str | None:
    given = os.environ.get(VARIABLE)
    if given:
        try:
            requirement = Requirement(given)
        except InvalidRequirement as error:
            raise ValueError(f"{VARIABLE}={given}: {' '.join(str(error).split())}") from error
        if canonicalize_name(requirement.name) != canonicalize_name(_NAME):
            raise ValueError(f"{VARIABLE}={given}: it must be a requirement of {_NAME}, a line of a requirements.txt")
        requirement.extras |= {extra} if extra else set()
        return str(requirement)
    return f"{_with_extra(extra)}>={version(_NAME)}" if RELEASED else None


def _at(repo_id: str, repo_type: str, revision: str, name: str, content: bytes, extra: str | None) -> str:
    url = hf_hub_url(repo_id, name, repo_type=repo_type, revision=revision)
    return f"{_with_extra(extra)} @ {url}#sha256={hashlib.sha256(content).hexdigest()}"


def _with_extra(extra: str | None) -> str:
    return f"{_NAME}[{extra}]" if extra else _NAME
