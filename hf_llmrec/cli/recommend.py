"""``recommend``: print a saved model's recommendations after a history, or write those for a table of histories."""

from __future__ import annotations

import argparse
import json
import sys

from .list_options import ListOptions

# Options of the form for a table of histories.
_TABLE = ("output", "users_per_part", "batch_size", "time")


def parser() -> argparse.ArgumentParser:
    """The command's argument parser."""
    options = ListOptions(
        prog="hf-llmrec recommend",
        description="Items that a saved model recommends: printed for --history or --query, or written for --input.",
    )
    options.add_argument("model", help="recommender folder or Hub id")
    options.add_argument("--history", nargs="*", default=[], metavar="ID", help="item ids, oldest first")
    options.add_argument("--query", help="what the user wants, in free text (LC-Rec)")
    options.add_argument("--top_k", type=int, default=10, help="how many items (default: 10)")
    options.add_argument("--exclude", nargs="*", metavar="ID", help="item ids that must not be recommended")
    options.add_argument("--allowed", nargs="*", metavar="ID", help="the only item ids that may be recommended")
    options.add_argument("--strict", action="store_true", help="an unknown item in the history is an error")
    options.add_argument("--revision", help="branch, tag or commit of a Hub repository")
    options.add_argument("--json", action="store_true", help="print JSON instead of a table")
    table = options.add_argument_group("recommendations for a table of histories")
    table.add_argument("--input", help="Parquet, JSON lines (user_id, history) or a dataset folder")
    table.add_argument("--output", help="folder for Parquet parts; a run that was killed is continued there")
    table.add_argument("--users_per_part", type=int, help="rows of a part (default: 10000)")
    table.add_argument("--batch_size", type=int, help="histories per forward pass (default: the model's)")
    table.add_argument("--time", help="when requests are made: ISO text or seconds (default: when the run began)")
    return options


def table(answer: list[dict]) -> str:
    """A table of rank, score, item id and title.

    Args:
        answer: the recommended items, best first.
    """
    rows = [("", "score", "item_id", "title")]
    rows += [
        (str(rank), f"{each['score']:.4f}", each["item_id"], " ".join(each["title"].split()))
        for rank, each in enumerate(answer, start=1)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{rank:>{widths[0]}}  {score:>{widths[1]}}  {item:<{widths[2]}}  {title}".rstrip()
        for rank, score, item, title in rows
    )


def as_json(answer: list[dict], encoding: str | None) -> str:
    """The answer as JSON. Characters stay as they are, unless the encoding lacks one: then all are escaped.

    Args:
        answer: the recommended items, best first.
        encoding: of the terminal; ``None``: UTF-8.
    """
    text = json.dumps(answer, ensure_ascii=False, indent=2)
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(answer, ensure_ascii=True, indent=2)
    return text


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    for name in ("top_k", "users_per_part", "batch_size"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")
    if arguments.input is not None:
        from .recommend_table import run

        run(arguments)
        return 0
    for name in _TABLE:
        if getattr(arguments, name) is not None:
            raise ValueError(f"--{name} is for tables of histories: give --input, too")
    if not arguments.history and not arguments.query:
        raise ValueError("give --history, --query, or both; or --input, a table of histories")
    from transformers import pipeline
    from transformers.utils import logging

    logging.disable_progress_bar()
    where = {"revision": arguments.revision} if arguments.revision else {}
    # Registered by `hf_llmrec.registration`: transformers' overloads list its own tasks only.
    ask = pipeline("recommendation", model=arguments.model, **where)  # pyright: ignore[reportCallIssue, reportArgumentType]
    request = {"history": arguments.history, **({"query": arguments.query} if arguments.query else {})}
    limits = {"exclude": arguments.exclude, "allowed": arguments.allowed}
    answer = ask(request, top_k=arguments.top_k, strict=arguments.strict, **limits)
    print(as_json(answer, sys.stdout.encoding) if arguments.json else table(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
