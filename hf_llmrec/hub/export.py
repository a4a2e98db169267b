"""Files of a folder -> the Hub, and back."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence

from huggingface_hub import CommitOperationAdd, HfApi, snapshot_download
from huggingface_hub.utils import RevisionNotFoundError


def full_name(repo_id: str, *, token: str | None = None) -> str:
    """``owner/name`` of a repository that is given so, or as the ``name`` of one of the user's own."""
    return repo_id if "/" in repo_id else f"{HfApi(token=token).whoami()['name']}/{repo_id}"


def make_repo(repo_id: str, *, repo_type: str = "model", token: str | None = None, private: bool | None = None) -> str:
    """Make a repository where there is none; returns its id with the owner's name."""
    sdk = "gradio" if repo_type == "space" else None
    api = HfApi(token=token)
    return api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True, space_sdk=sdk).repo_id


def push_folder(
    folder: str | os.PathLike,
    files: Sequence[str],
    repo_id: str,
    *,
    repo_type: str = "model",
    token: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    message: str | None = None,
    replaced: Sequence[str] = (),
) -> str:
    """Upload files of a folder in one commit; returns the commit's address.

    Args:
        folder: where the files lie.
        files: which, as paths relative to ``folder``; see `hf_llmrec.hub.published_files`. No other goes up.
        repo_id: ``name`` or ``owner/name``.
        repo_type: ``model``, ``dataset``, or ``space`` for a Gradio one.
        token, private, revision: as in `huggingface_hub.HfApi`.
        message: of the commit.
        replaced: folders of the repository that lose what ``files`` do not have in them.
    """
    repo = make_repo(repo_id, repo_type=repo_type, token=token, private=private)
    commit = HfApi(token=token).upload_folder(
        folder_path=str(folder),
        repo_id=repo,
        repo_type=repo_type,
        revision=revision,
        commit_message=message or f"Upload {repo_type}",
        allow_patterns=[glob.escape(name) for name in files],
        delete_patterns=[f"{name}/*" for name in replaced] or None,
    )
    return str(commit)


def push_file(
    name: str,
    content: bytes,
    repo_id: str,
    *,
    repo_type: str = "model",
    token: str | None = None,
    revision: str | None = None,
) -> str:
    """Upload one file to a repository that exists; returns the hash of a commit that has it.

    Where the file is there as it is, nothing is committed.
    """
    commit = HfApi(token=token).create_commit(
        repo_id,
        [CommitOperationAdd(name, content)],
        commit_message=f"Upload {name}",
        repo_type=repo_type,
        revision=revision,
    )
    return commit.oid


def is_private(repo_id: str, *, repo_type: str = "model", token: str | None = None) -> bool:
    """Whether a repository is read with a token only."""
    return bool(HfApi(token=token).repo_info(repo_id, repo_type=repo_type).private)


def list_files(repo_id: str, *, token: str | None = None, revision: str | None = None) -> tuple[str, list[str]]:
    """(commit, its files) of a model repository; no files where the branch is not there yet."""
    try:
        found = HfApi(token=token).model_info(repo_id, revision=revision)
    except RevisionNotFoundError:
        return "", []
    return found.sha, [each.rfilename for each in found.siblings or []]


def fetch_folder(
    repo_id: str, name: str, output: str | os.PathLike, *, token: str | None = None, revision: str | None = None
) -> None:
    """Download the folder ``name`` of a model repository to ``output``/``name``."""
    snapshot_download(repo_id, allow_patterns=f"{name}/*", local_dir=output, token=token, revision=revision)
