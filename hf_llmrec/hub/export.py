"""Uploads files of a folder to the Hub and downloads them again."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, snapshot_download
from huggingface_hub.utils import RevisionNotFoundError


def full_name(repo_id: str, *, token: str | None = None) -> str:
    """The full id of a repository.

    Args:
        repo_id: ``owner/name``, or the ``name`` of a repository of the logged-in user.
        token: token for the Hub; default: that of the login.
    """
    return repo_id if "/" in repo_id else f"{HfApi(token=token).whoami()['name']}/{repo_id}"


def make_repo(repo_id: str, *, repo_type: str = "model", token: str | None = None, private: bool | None = None) -> str:
    """Create a repository if it does not exist.

    Args:
        repo_id: ``name`` or ``owner/name``.
        repo_type: ``model``, ``dataset``, or ``space`` for a Gradio Space.
        token: token for the Hub; default: that of the login.
        private: visibility of a new repository; default: public, unless the owner's settings say otherwise.

    Returns:
        ``owner/name``.
    """
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
    """Upload files of a folder in one commit; the repository is created if it does not exist.

    Args:
        folder: folder with the files.
        files: paths of the files to upload, relative to ``folder``; see `hf_llmrec.hub.published_files`.
        repo_id: ``name`` or ``owner/name``.
        repo_type: ``model``, ``dataset``, or ``space`` for a Gradio Space.
        token: token for the Hub; default: that of the login.
        private: visibility of a new repository; default: public, unless the owner's settings say otherwise.
        revision: branch to commit to; default: ``main``.
        message: commit message; default: ``Upload`` and the type of the repository.
        replaced: folders of the repository from which files that are not in ``files`` are deleted.

    Returns:
        The address of the commit.
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
    """Upload one file to an existing repository; nothing is committed if the repository has the same file already.

    Args:
        name: path of the file in the repository.
        content: content of the file.
        repo_id: ``owner/name``.
        repo_type: ``model``, ``dataset`` or ``space``.
        token: token for the Hub; default: that of the login.
        revision: branch to commit to; default: ``main``.

    Returns:
        The hash of a commit that contains the file.
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
    """Whether a repository can only be read with a token.

    Args:
        repo_id: ``owner/name``.
        repo_type: ``model``, ``dataset`` or ``space``.
        token: token for the Hub; default: that of the login.
    """
    return bool(HfApi(token=token).repo_info(repo_id, repo_type=repo_type).private)


def list_files(repo_id: str, *, token: str | None = None, revision: str | None = None) -> tuple[str, list[str]]:
    """List the files of a model repository.

    Args:
        repo_id: ``owner/name``.
        token: token for the Hub; default: that of the login.
        revision: branch or commit; default: ``main``.

    Returns:
        The hash of the commit and its files; "" and no files if the branch does not exist.
    """
    try:
        info = HfApi(token=token).model_info(repo_id, revision=revision)
    except RevisionNotFoundError:
        return "", []
    return info.sha or "", [each.rfilename for each in info.siblings or []]


def fetch_folder(
    repo_id: str, name: str, output: str | os.PathLike, *, token: str | None = None, revision: str | None = None
) -> None:
    """Download a folder of a model repository.

    Args:
        repo_id: ``owner/name``.
        name: the folder in the repository.
        output: local folder, in which the folder ``name`` is created.
        token: token for the Hub; default: that of the login.
        revision: branch or commit; default: ``main``.
    """
    snapshot_download(repo_id, allow_patterns=f"{name}/*", local_dir=Path(output), token=token, revision=revision)
