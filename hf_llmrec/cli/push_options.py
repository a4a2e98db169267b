"""Options of ``push``."""

from __future__ import annotations

import argparse

from .list_options import ListAction, ListOptions


def parser() -> argparse.ArgumentParser:
    """The command's argument parser. For the card's options see `hf_llmrec.hub.publish.Publication`."""
    options = ListOptions(
        prog="hf-llmrec push",
        description="Publish a saved recommender with its model card, results and plots, or a Space that shows some.",
    )
    source = options.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", help="recommender folder")
    source.add_argument(
        "--space",
        nargs="*",
        action=ListAction,
        metavar="ID",
        help="publish a Gradio Space of these published recommenders (none: small ones of the demo shop)",
    )
    options.add_argument("--repo_id", required=True, help="repository to push to: `name` or `owner/name`")
    options.add_argument(
        "--files_only", metavar="DIR", help="write the files to an empty folder instead of pushing them"
    )
    options.add_argument("--dataset_name", help="name of the data set, for the card")
    options.add_argument("--dataset_id", help="Hub id of the data set")
    options.add_argument("--result", metavar="F.json", help="result file of `evaluate --result`")
    options.add_argument("--comparison", metavar="F.json", help="comparison.json of `compare`")
    options.add_argument("--name", help="the model's name in the comparison (default: its folder's)")
    options.add_argument("--plots", nargs="*", default=[], metavar="F.png", help="images to show in the card")
    options.add_argument("--base_model", help="Hub id of the pretrained backbone")
    options.add_argument("--command", help="the training command, for the card")
    options.add_argument("--license", default="apache-2.0", help="licence identifier (default: apache-2.0)")
    options.add_argument("--language", default="en", help="language of the item texts (default: en)")
    options.add_argument("--private", action="store_true", help="make a private repository")
    options.add_argument("--revision", help="branch to push to")
    options.add_argument("--token", help="access token (default: that of `hf auth login`)")
    return options
