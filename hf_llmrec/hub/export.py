"""A recommender folder -> the Hub."""

from __future__ import annotations

import os

from huggingface_hub import HfApi


def push_folder(
    folder: str | os.PathLike,
    repo_id: str,
    *,
    token: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
) -> str:
    """Upload a whole recommender folder in one commit, without training checkpoints; returns the commit's address.

    Args:
        folder: what `load_ranker` and ``from_pretrained`` read.
        repo_id: ``name`` or ``owner/name``.
        token, private, revision: as in `huggingface_hub.HfApi`.
    """
    api = HfApi(token=token)
    repo = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    commit = api.upload_folder(
        folder_path=str(folder),
        repo_id=repo,
        revision=revision,
        commit_message="Upload recommender",
        ignore_patterns=["checkpoint-*", ".*", "*.bin", "*.pt", "*.pth"],
    )
    return str(commit)
