"""``push``: publish a saved recommender with its model card, results and plots, or a Space that shows some."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from .push_options import parser

_ABOUT_MODEL = ("dataset_name", "dataset_id", "result", "comparison", "name", "plots", "base_model", "command")


def package_commit() -> str | None:
    """The git commit of the checkout that the package runs from; ``None`` if it is an installed package."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    done = subprocess.run(["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or None


def main(argv: list[str] | None = None) -> int:
    options = parser()
    arguments = options.parse_args(argv)
    if arguments.space is not None:
        given = [name for name in _ABOUT_MODEL if getattr(arguments, name)]
        if given:
            options.error(f"--{given[0]} is about a model's card; a Space has none")
    output = None if arguments.files_only is None else Path(arguments.files_only)
    if output is not None and output.exists() and any(output.iterdir()):
        raise ValueError(f"--files_only {output}: the folder is not empty")
    from .processes import start_logging

    start_logging()
    where = {"token": arguments.token, "private": arguments.private or None, "revision": arguments.revision}
    push = _push_space if arguments.model is None else _push_model
    print(push(arguments, output, where))
    return 0


def _push_space(arguments: argparse.Namespace, output: Path | None, where: dict) -> str | Path:
    from ..hub.requirements import requirement_files
    from ..hub.space import EXTRA, prepare_space, publish_space

    if output is None:
        return publish_space(arguments.space, arguments.repo_id, **where)
    files = requirement_files(arguments.repo_id, repo_type="space", extra=EXTRA)
    prepare_space(arguments.space, output)
    _write(files, output)
    return output


def _push_model(arguments: argparse.Namespace, output: Path | None, where: dict) -> str | Path:
    from ..hub.publish import Publication, prepare, publish
    from ..hub.requirements import requirement_files

    names = ("dataset_id", "result", "comparison", "name", "plots", "base_model", "command", "license", "language")
    publication = Publication(
        dataset=arguments.dataset_name,
        commit=package_commit(),
        **{name: getattr(arguments, name) for name in names},
    )
    if output is None:
        return publish(arguments.model, arguments.repo_id, publication, **where)
    files = requirement_files(arguments.repo_id)
    prepare(arguments.model, arguments.repo_id, publication, output)
    _write(files, output)
    return output


def _write(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
