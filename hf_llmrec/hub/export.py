"""A folder -> the Hub."""

from __future__ import annotations

import os

from huggingface_hub import HfApi


def push_folder(
    folder: str | os.PathLike,
    repo_id: str,
    *,
    repo_type: str = "model",
    token: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
) -> str:
    """Upload a whole folder in one commit, without training checkpoints; returns the commit's address.

    Args:
        folder: a recommender's, or a Space's.
        repo_id: ``name`` or ``owner/name``.
        repo_type: ``model``, ``dataset``, or ``space`` for a Gradio one.
        token, private, revision: as in `huggingface_hub.HfApi`.
    """
    api = HfApi(token=token)
    sdk = "gradio" if repo_type == "space" else None
    repo = api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True, space_sdk=sdk).repo_id
    commit = api.upload_folder(
        folder_path=str(folder),
        repo_id=repo,
        repo_type=repo_type,
        revision=revision,
        commit_message=f"Upload {repo_type}",
        ignore_patterns=["checkpoint-*", ".*", "*.bin", "*.pt", "*.pth"],
    )
    return str(commit)
