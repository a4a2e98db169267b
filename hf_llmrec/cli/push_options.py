"""Options of ``push``."""

from __future__ import annotations

import argparse

from .list_options import ListAction, ListOptions


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
