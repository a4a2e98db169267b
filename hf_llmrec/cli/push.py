"""``push``: a saved recommender to the Hub, with its model card, results and plots; or a Space that shows some."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from .list_options import ListAction, ListOptions

_ABOUT_MODEL = ("dataset_name", "dataset_id", "result", "comparison", "name", "plots", "base_model", "command")


def parser() -> argparse.ArgumentParser:
    """The options; what they mean for the card, see `hf_llmrec.hub.publish.Publication`."""
    found = ListOptions(
        prog="hf-llmrec push",
        description="Publish a saved recommender with its model card, results and plots, or a Space that shows some.",
    )
    what = found.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", help="recommender folder")
    what.add_argument(
        "--space",
        nargs="*",
        action=ListAction,
        metavar="ID",
        help="a Gradio Space of these published recommenders (none: small ones of the demo shop)",
    )
    found.add_argument("--repo_id", required=True, help="`name` or `owner/name`")
    found.add_argument("--files_only", metavar="DIR", help="write everything to an empty folder instead of pushing it")
    found.add_argument("--dataset_name", help="name of the data set, for the card")
    found.add_argument("--dataset_id", help="Hub id of the data set")
    found.add_argument("--result", metavar="F.json", help="result file of `evaluate --result`")
    found.add_argument("--comparison", metavar="F.json", help="comparison.json of `compare`")
    found.add_argument("--name", help="the model's name in the comparison (default: that of its folder)")
    found.add_argument("--plots", nargs="*", default=[], metavar="F.png", help="images to show in the card")
    found.add_argument("--base_model", help="Hub id of the pretrained backbone")
    found.add_argument("--command", help="the training command, for the card")
    found.add_argument("--license", default="apache-2.0", help="licence identifier (default: apache-2.0)")
    found.add_argument("--language", default="en", help="of the item texts (default: en)")
    found.add_argument("--private", action="store_true", help="make a private repository")
    found.add_argument("--revision", help="branch to push to")
    found.add_argument("--token", help="access token (default: that of the login)")
    return found


def package_commit() -> str | None:
    """The commit of the checkout that the package runs from; ``None`` when it is installed."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    found = subprocess.run(["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip() or None


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
    from .options import start_logging

    start_logging()
    where = {"token": arguments.token, "private": arguments.private or None, "revision": arguments.revision}
    done = _push_space(arguments, output, where) if arguments.model is None else _push_model(arguments, output, where)
    print(done)
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
