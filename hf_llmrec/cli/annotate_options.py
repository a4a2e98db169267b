"""Options of ``annotate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from .list_options import ListOptions


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = ListOptions(
        prog="hf-llmrec annotate",
        description="Write a dataset's tables `intentions` and `preferences` from its reviews, by a language model.",
    )
    found.add_argument("--dataset", required=True, help="dataset folder or Hub id with a table `reviews`")
    found.add_argument("--output_dir", help="dataset folder to write (default: --dataset, if it is a folder)")
    found.add_argument("--model", required=True, help="the language model, as the endpoint calls it; or to load")
    found.add_argument("--base_url", help="an OpenAI-compatible endpoint (default: the Hub's inference providers)")
    found.add_argument("--local", action="store_true", help="load --model here, a chat model, instead of an endpoint")
    found.add_argument("--token", help="access token (default: none for --base_url, that of the login for the Hub)")
    found.add_argument("--extra_body", metavar="JSON", help="further fields of each request to the endpoint")
    found.add_argument(
        "--kinds", nargs="+", choices=("intentions", "preferences"), default=["intentions", "preferences"]
    )
    found.add_argument("--limit", type=int, default=0, help="texts of each kind, at most (default: all)")
    found.add_argument(
        "--answer_format", choices=("json", "text"), default="json", help="what to ask for (default: json)"
    )
    found.add_argument("--json_schema", action="store_true", help="the endpoint can keep to a JSON schema")
    found.add_argument(
        "--concurrency", type=int, default=8, help="requests at once; of --local, in a batch (default: 8)"
    )
    found.add_argument("--attempts", type=int, default=3, help="answers looked at until one is good (default: 3)")
    found.add_argument("--retries", type=int, default=6, help="repeats of a failing request (default: 6)")
    found.add_argument(
        "--timeout_s", type=float, default=120.0, help="seconds until a request has failed (default: 120)"
    )
    found.add_argument("--max_tokens", type=int, default=200, help="of an answer (default: 200)")
    found.add_argument("--temperature", type=float, default=0.7, help="of the answers (default: 0.7)")
    found.add_argument("--seed", type=int, default=0, help="of the answers (default: 0)")
    found.add_argument("--price_in", type=float, default=0.0, help="per million tokens read, for the report")
    found.add_argument("--price_out", type=float, default=0.0, help="per million tokens written, for the report")
    found.add_argument("--overwrite", action="store_true", help="replace tables that the dataset has already")
    found.add_argument("--cache", help="file of answers (default: OUTPUT_DIR/.answers.jsonl)")
    return found


def check(arguments: argparse.Namespace) -> None:
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
            there = folder and any((Path(folder) / name).exists() for name in (f"{kind}.parquet", kind))
            if there and not arguments.overwrite:
                raise ValueError(f"{folder} has a table {kind} already: --overwrite replaces it, --kinds leaves it out")
