"""``annotate``: have a language model write intentions and preferences from reviews or descriptions."""

from __future__ import annotations

import sys
from datetime import UTC
from pathlib import Path

from .annotate_options import check, parser
from .json_options import json_object


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    extra_body = json_object("extra_body", arguments.extra_body) or None
    check(arguments)
    source = Path(arguments.dataset) if Path(arguments.dataset).is_dir() else None
    output = Path(arguments.output_dir) if arguments.output_dir else source
    if output is None:
        raise ValueError("--output_dir is required: --dataset is no folder")

    from datetime import datetime

    from ..data.interactions import RecDataset
    from ..supervision.cache import AnswerCache
    from ..supervision.endpoint_llm import EndpointLLM
    from ..supervision.local_llm import LocalLLM
    from ..supervision.requests import (
        description_requests,
        instructions,
        instructions_version,
        intention_requests,
        preference_requests,
        readable_reviews,
    )
    from ..supervision.tables import FROM_DESCRIPTIONS, save_texts, text_table
    from ..supervision.write import write_texts
    from .processes import start_logging

    start_logging()
    dataset = RecDataset.load(arguments.dataset)
    if arguments.source == "descriptions":
        made = {"intentions": description_requests(dataset)}
    else:
        readable = readable_reviews(dataset, dataset.split())
        print(
            f"reviews left out: {readable.held_out} of held-out items, {readable.late} not before the split point, "
            f"{readable.unknown} of no interaction"
        )
        made = {"intentions": intention_requests(dataset, readable)}
        made["preferences"] = preference_requests(dataset, readable)
    if arguments.local:
        llm = LocalLLM(arguments.model, batch_size=arguments.concurrency)
    else:
        names = ("base_url", "token", "timeout_s", "json_schema")
        llm = EndpointLLM(arguments.model, extra_body=extra_body, **{name: getattr(arguments, name) for name in names})
    cache = AnswerCache(arguments.cache or output / ".answers.jsonl")
    for kind in arguments.kinds:
        requests = list(made[kind])
        names = ("answer_format", "concurrency", "attempts", "retries", "max_tokens", "temperature", "seed")
        requests = requests[: arguments.limit] if arguments.limit else requests
        texts, report = write_texts(requests, llm, cache, **{name: getattr(arguments, name) for name in names})
        cost = report.prompt_tokens * arguments.price_in + report.completion_tokens * arguments.price_out
        print(
            f"{kind}: {report.written} of {report.requests} written, {report.left_out} left out {report.reasons or ''}"
        )
        print(
            f"  {report.asked} new requests, {report.cached} cached answers, {report.retries} repeats; "
            f"{report.prompt_tokens} tokens read, {report.completion_tokens} written, cost {cost / 1e6:.4f}"
        )
        if report.unusable:
            print(f"  {report.unusable} answers could not be used; they are kept in {cache.path}")
        if not texts:
            print(f"  no table {kind} is written")
            continue
        instruction = instructions()[requests[0].instruction or kind]["instruction"]
        provenance = {
            "model": llm.name,
            "read": FROM_DESCRIPTIONS if arguments.source == "descriptions" else "reviews",
            "instruction": f"{instruction.strip()} ({instructions_version()})",
            "date": datetime.now(UTC).date().isoformat(),
            "texts": report.written,
            "left out for want of a good answer": report.left_out,
            "temperature, seed": f"{arguments.temperature}, {arguments.seed}",
        }
        save_texts(dataset, source, output, {kind: text_table(kind, texts)}, {kind: provenance})
        source = output  # to which the next kind is added
    cache.close()
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
