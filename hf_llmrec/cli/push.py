"""``push``: a saved recommender to the Hub, with its model card, results and plots."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """The options; what they mean for the card, see `hf_llmrec.hub.publish.Publication`."""
    found = argparse.ArgumentParser(
        prog="hf-llmrec push", description="Publish a saved recommender with its model card, results and plots."
    )
    found.add_argument("--model", required=True, help="recommender folder")
    found.add_argument("--repo_id", required=True, help="`name` or `owner/name`")
    found.add_argument("--card_only", metavar="DIR", help="write everything to an empty folder instead of pushing it")
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
    arguments = parser().parse_args(argv)
    from ..hub.publish import Publication, prepare, publish
    from .options import start_logging

    start_logging()
    names = ("dataset_id", "result", "comparison", "name", "plots", "base_model", "command", "license", "language")
    publication = Publication(
        dataset=arguments.dataset_name,
        commit=package_commit(),
        **{name: getattr(arguments, name) for name in names},
    )
    if arguments.card_only is None:
        where = {"token": arguments.token, "private": arguments.private or None, "revision": arguments.revision}
        print(publish(arguments.model, arguments.repo_id, publication, **where))
        return 0
    output = Path(arguments.card_only)
    if output.exists() and any(output.iterdir()):
        raise ValueError(f"--card_only {output}: the folder is not empty")
    prepare(arguments.model, arguments.repo_id, publication, output)
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
