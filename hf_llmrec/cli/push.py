"""``push``: a saved recommender to the Hub, with its model card, results and plots."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path

from transformers import HfArgumentParser

from ..hub.publish import Publication, prepare, publish
from .options import start_logging

logger = logging.getLogger("hf_llmrec")


@dataclass
class PushArguments:
    """What is published, and where.

    Args:
        model: a recommender folder.
        repo_id: ``name`` or ``owner/name``.
        card_only: folder to write everything to instead of pushing it.
        others: see `Publication`; private, revision, token: as in `huggingface_hub`.
    """

    model: str = field(metadata={"help": "recommender folder"})
    repo_id: str = field(metadata={"help": "`name` or `owner/name`"})
    card_only: str | None = field(
        default=None, metadata={"help": "empty folder to write everything to, instead of pushing it"}
    )
    dataset_name: str | None = field(default=None, metadata={"help": "name of the data set, for the card"})
    dataset_id: str | None = field(default=None, metadata={"help": "Hub id of the data set"})
    result: str | None = field(default=None, metadata={"help": "result file of `evaluate --result`"})
    comparison: str | None = field(default=None, metadata={"help": "comparison.json of `compare`"})
    name: str | None = field(
        default=None, metadata={"help": "the model's name in the comparison (default: its folder)"}
    )
    plots: list[str] = field(default_factory=list, metadata={"help": "image files to show in the card"})
    base_model: str | None = field(default=None, metadata={"help": "Hub id of the pretrained backbone"})
    command: str | None = field(default=None, metadata={"help": "the training command, for the card"})
    license: str = field(default="apache-2.0", metadata={"help": "licence identifier"})
    language: str = field(default="en", metadata={"help": "of the item texts"})
    private: bool = field(default=False, metadata={"help": "make a private repository"})
    revision: str | None = field(default=None, metadata={"help": "branch to push to"})
    token: str | None = field(default=None, metadata={"help": "access token (default: the one that is logged in)"})


def package_commit() -> str | None:
    """The commit of the checkout that the package runs from; ``None`` when it is installed."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    found = subprocess.run(["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip() or None


def run(arguments: PushArguments) -> str:
    """Publish; returns where it went."""
    named = {each.name for each in fields(Publication)} & {each.name for each in fields(arguments)}
    publication = Publication(
        dataset=arguments.dataset_name,
        commit=package_commit(),
        **{name: getattr(arguments, name) for name in named},
    )
    if arguments.card_only is not None:
        if Path(arguments.card_only).exists() and any(Path(arguments.card_only).iterdir()):
            raise ValueError(f"--card_only {arguments.card_only}: the folder is not empty")
        prepare(arguments.model, arguments.repo_id, publication, arguments.card_only)
        return arguments.card_only
    return publish(
        arguments.model,
        arguments.repo_id,
        publication,
        token=arguments.token,
        private=arguments.private or None,
        revision=arguments.revision,
    )


def main(argv: list[str] | None = None) -> int:
    (arguments,) = HfArgumentParser(PushArguments).parse_args_into_dataclasses(argv)
    start_logging()
    print(run(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
