"""What every training command leaves behind beside the recommender: its report, and its copy on the Hub."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from ..data.files import write_json
from ..data.recommender_folder import TRAINING_REPORT
from ..hub.publish import publish
from ..training.pushes import TrainingPushes
from .decoding_words import without_the_tree
from .results import run_facts

logger = logging.getLogger("hf_llmrec")


def finish_run(
    training: TrainingArguments, pushes: TrainingPushes, metrics: dict[str, float], began: float, report: dict[str, Any]
) -> None:
    """Write ``training_report.json`` and, with ``--push_to_hub``, send the folder with a model card in one commit.

    Args:
        training: says where.
        pushes: those of the run, which this one comes after, and who writes; unlike them it raises if it fails.
        metrics: of the validation users. began: `time.perf_counter` at the start.
        report: what else the report says.
    """
    if not pushes.is_writer:
        return
    facts = {"seed": training.seed, "duration_s": round(time.perf_counter() - began, 1), **run_facts()}
    write_json(Path(training.output_dir) / TRAINING_REPORT, {"validation": metrics, **report, **facts})
    logger.info("saved %s; validation NDCG@10 %.4f", training.output_dir, metrics["ndcg@10"])
    if report.get("decoding_fallback"):
        logger.warning(without_the_tree(report["decoding_fallback"]))
    pushes.wait()
    if pushes.wanted:
        push_output(publish, training)


def push_output(send: Callable[..., str], options: Any, **what: Any) -> None:
    """Send a command's ``--output_dir`` to the Hub as its ``--hub_...`` options say.

    Args:
        send: `publish` or `publish_index`. options: with ``output_dir`` and those options. what: further arguments.
    """
    where = {"token": options.hub_token, "private": options.hub_private_repo, "revision": options.hub_revision}
    name = options.hub_model_id or Path(options.output_dir).resolve().name
    logger.info("pushed to %s", send(options.output_dir, name, **where, **what))
