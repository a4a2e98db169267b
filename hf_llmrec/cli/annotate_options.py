"""Options of ``annotate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from .list_options import ListOptions


def parser() -> argparse.ArgumentParser:
    """The command's argument parser."""
    options = ListOptions(
        prog="hf-llmrec annotate",
        description="Write a dataset's tables `intentions` and `preferences` by a language model, from its reviews, or "
        "intentions from its items' descriptions.",
    )
    options.add_argument("--dataset", required=True, help="dataset folder or Hub id, with a table `reviews`")
    options.add_argument("--output_dir", help="dataset folder to write (default: --dataset, if it is a folder)")
    options.add_argument(
        "--model", required=True, help="the language model: its name at the endpoint, or with --local its id or folder"
    )
    options.add_argument("--base_url", help="an OpenAI-compatible endpoint (default: the Hub's inference providers)")
    options.add_argument("--local", action="store_true", help="load --model here, a chat model, instead of an endpoint")
    options.add_argument("--token", help="access token (default: none for --base_url; for the Hub, that of the login)")
    options.add_argument("--extra_body", metavar="JSON", help="further fields of each request to the endpoint")
    options.add_argument(
        "--source",
        choices=("reviews", "descriptions"),
        default="reviews",
        help="what the model reads: reviews, or without them the items' descriptions, for intentions of no user "
        "(default: reviews)",
    )
    options.add_argument(
        "--kinds",
        nargs="+",
        choices=("intentions", "preferences"),
        help="tables to write (default: both; intentions with --source descriptions)",
    )
    options.add_argument(
        "--limit", type=int, default=0, help="write at most this many texts of each kind (default: all)"
    )
    options.add_argument(
        "--answer_format",
        choices=("json", "text"),
        default="json",
        help="format of the answers to ask for (default: json)",
    )
    options.add_argument("--json_schema", action="store_true", help="send a JSON schema; the endpoint must support it")
    options.add_argument(
        "--concurrency", type=int, default=8, help="requests at once; with --local, the batch size (default: 8)"
    )
    options.add_argument("--attempts", type=int, default=3, help="answers to request until one is usable (default: 3)")
    options.add_argument("--retries", type=int, default=6, help="how often to repeat a failed request (default: 6)")
    options.add_argument(
        "--timeout_s", type=float, default=120.0, help="seconds after which a request fails (default: 120)"
    )
    options.add_argument("--max_tokens", type=int, default=200, help="maximum tokens of an answer (default: 200)")
    options.add_argument("--temperature", type=float, default=0.7, help="sampling temperature (default: 0.7)")
    options.add_argument("--seed", type=int, default=0, help="sampling seed (default: 0)")
    options.add_argument("--price_in", type=float, default=0.0, help="price per million input tokens, for the report")
    options.add_argument("--price_out", type=float, default=0.0, help="price per million output tokens, for the report")
    options.add_argument("--overwrite", action="store_true", help="replace existing tables of the dataset")
    options.add_argument("--cache", help="file that caches answers (default: OUTPUT_DIR/.answers.jsonl)")
    return options


def check(arguments: argparse.Namespace) -> None:
    """Refuse options that are out of range or contradict each other, and fill in the default of ``--kinds``.

    Args:
        arguments: parsed by `parser`.

    Raises:
        ValueError: names the option.
    """
    is_described = arguments.source == "descriptions"
    arguments.kinds = arguments.kinds or ["intentions", *([] if is_described else ["preferences"])]
    if is_described and "preferences" in arguments.kinds:
        raise ValueError("--kinds preferences: preferences are written from reviews, --source is descriptions")
    for name, least in {"concurrency": 1, "attempts": 1, "max_tokens": 1, "retries": 0, "limit": 0}.items():
        if getattr(arguments, name) < least:
            raise ValueError(f"--{name} must be at least {least}, got {getattr(arguments, name)}")
    for name in ("base_url", "token", "json_schema", "extra_body"):
        if arguments.local and getattr(arguments, name):
            raise ValueError(f"--{name} is about an endpoint; with --local there is none")
    if arguments.json_schema and arguments.answer_format != "json":
        raise ValueError(f"--json_schema asks for JSON, --answer_format for {arguments.answer_format}")
    for kind in arguments.kinds:
        for folder in (arguments.dataset, arguments.output_dir):
            exists = folder and any((Path(folder) / name).exists() for name in (f"{kind}.parquet", kind))
            if exists and not arguments.overwrite:
                raise ValueError(f"{folder} has a table {kind} already: --overwrite replaces it, --kinds leaves it out")
