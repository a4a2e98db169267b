"""Which model a run recommends with: its name, method and revision."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from transformers.utils.hub import extract_commit_hash

from ..data.recommender_folder import RECOMMENDER_FILE, TRAINING_REPORT, load_settings, resolve_file
from ..hub.published_files import recommender_files
from ..recommender import Recommender


@dataclass(frozen=True)
class ModelIdentity:
    """A model in the state in which it recommends.

    Attributes:
        name: the folder or Hub id; of a model that was never saved, its method.
        method: as folders and commands know it.
        revision: the commit of a Hub repository, or ``sha256:HASH`` of a folder's files.
    """

    name: str
    method: str
    revision: str

    @classmethod
    def of(cls, model: str | os.PathLike | Recommender, revision: str | None = None) -> ModelIdentity:
        """Find out which model it is.

        Args:
            model: recommender folder, Hub id, or a recommender, whose hash is that of the folder that it is saved as.
            revision: branch, tag or commit of a Hub repository.

        Raises:
            FileNotFoundError: not a recommender folder.
            ValueError: a revision of something that has none, or a Hub repository whose commit is not known.
        """
        if isinstance(model, Recommender) or os.path.isdir(model):
            if revision is not None:
                raise ValueError(f"revision {revision!r}: only Hub repositories have revisions")
            if isinstance(model, Recommender):
                with tempfile.TemporaryDirectory() as folder:
                    model.save_pretrained(folder)
                    return cls(model.model.name_or_path or model.method, model.method, _digest(Path(folder)))
            return cls(str(model), load_settings(model)["method"], _digest(Path(model)))
        where = {} if revision is None else {"revision": revision}
        commit = extract_commit_hash(resolve_file(model, RECOMMENDER_FILE, **where), None)
        if commit is None:
            raise ValueError(f"{model}: the commit of this repository is not known")
        return cls(str(model), load_settings(model, revision=commit)["method"], commit)


def _digest(folder: Path) -> str:
    """``sha256:HASH`` of names and contents of the files that determine the recommendations."""
    load_settings(folder)
    names: Iterable[str] = (name for name in recommender_files(folder) if Path(name).name != TRAINING_REPORT)
    digest = hashlib.sha256()
    for name in sorted(names):
        with open(folder / name, "rb") as stream:
            digest.update(f"{name}:{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return f"sha256:{digest.hexdigest()}"
