"""A folder -> the Hub, and back."""

from __future__ import annotations

import os
from collections.abc import Sequence

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.utils import RevisionNotFoundError


def make_repo(repo_id: str, *, repo_type: str = "model", token: str | None = None, private: bool | None = None) -> str:
    """Make a repository where there is none; returns its id with the owner's name."""
    sdk = "gradio" if repo_type == "space" else None
    api = HfApi(token=token)
    return api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True, space_sdk=sdk).repo_id


def push_folder(
    folder: str | os.PathLike,
    repo_id: str,
    *,
    repo_type: str = "model",
    token: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    message: str | None = None,
    checkpoints: bool = False,
    replaced: Sequence[str] = (),
) -> str:
    """Upload a whole folder in one commit, by default without training checkpoints; returns the commit's address.

    Args:
        folder: a recommender's, or a Space's.
        repo_id: ``name`` or ``owner/name``.
        repo_type: ``model``, ``dataset``, or ``space`` for a Gradio one.
        token, private, revision: as in `huggingface_hub.HfApi`.
        message: of the commit.
        checkpoints: whether training checkpoints go up, with the pickled files that Trainer writes to them.
        replaced: folders of the repository that lose what ``folder`` does not have in them.
    """
    repo = make_repo(repo_id, repo_type=repo_type, token=token, private=private)
    commit = HfApi(token=token).upload_folder(
        folder_path=str(folder),
        repo_id=repo,
        repo_type=repo_type,
        revision=revision,
        commit_message=message or f"Upload {repo_type}",
        ignore_patterns=None if checkpoints else ["checkpoint-*", ".*", "*.bin", "*.pt", "*.pth"],
        delete_patterns=[f"{name}/*" for name in replaced] or None,
    )
    return str(commit)


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
