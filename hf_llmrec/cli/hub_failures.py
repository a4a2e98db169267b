"""Describes failures of the Hub in one line: what is wrong, and what to do about it."""

from __future__ import annotations

import re


def hub_failure(error: BaseException, name: str | None, kind: str) -> str | None:
    """One line on what is wrong and what to do; ``None`` if the failure is not one of the Hub's.

    Args:
        error: the exception.
        name: id of the repository it is about; ``None``: unknown, so nothing is said.
        kind: of the repository, ``model`` or ``dataset``.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    if name is None:
        return None
    text, hub = str(error), constants.ENDPOINT
    if isinstance(error, GatedRepoError) or "is a gated dataset on the Hub" in text:
        page = f"{hub}/{'datasets/' if kind == 'dataset' else ''}{name}"
        return f"{name} is gated: accept its terms at {page}, then `hf auth login`, or set HF_TOKEN to your token"
    if isinstance(error, RepositoryNotFoundError) or "doesn't exist on the Hub" in text:
        return (
            f"{name} is neither a folder here nor a {kind} of {hub}: mend the name, or, if it is private, "
            "`hf auth login`, or set HF_TOKEN to a token that may read it"
        )
    if constants.HF_HUB_OFFLINE:
        why, mend = "HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE"
    else:
        why, mend = f"{hub} cannot be reached", "mend the connection, or HF_ENDPOINT"
    if isinstance(error, LocalEntryNotFoundError) or text.startswith("Couldn't reach '"):
        flag = " --repo-type dataset" if kind == "dataset" else ""
        return (
            f"{name} is no folder here and not, or not all, in the Hub's cache, and {why}: {mend}; or, on a machine "
            f"with a network, `hf download {name}{flag} --local-dir DIR`, and give DIR"
        )
    # No answer came. Compared by name, whichever version of httpx the Hub's client is built on.
    is_unanswered = "TransportError" in {parent.__name__ for parent in type(error).__mro__}
    if is_unanswered or isinstance(error, ConnectionError):
        return f"{name}: the Hub is needed, and {why}: {mend}"
    if isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403):
        return f"{name}: {hub} refuses this: `hf auth login`, or set HF_TOKEN to a token that may do it"
    return None


def repository_of(error: BaseException) -> tuple[str, str] | None:
    """The repository that an exception is about.

    Few exceptions name it, so it is read from the arguments of the innermost function of huggingface_hub.

    Args:
        error: an exception with its traceback.

    Returns:
        name and kind (``model``, ``dataset`` or ``space``); ``None`` if it is about no repository.
    """
    if match := re.match(r"(?:Dataset|Couldn't reach) '([^']+)'", str(error)):
        return match[1], "dataset"
    repository, trace = None, error.__traceback__
    while trace is not None:
        variables = trace.tb_frame.f_locals
        if isinstance(variables.get("repo_id"), str):
            repository = variables["repo_id"], variables.get("repo_type") or "model"
        trace = trace.tb_next
    return repository
