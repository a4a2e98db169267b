"""What every training command does after training: it writes a report, and pushes to the Hub."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..data.files import write_json
from ..data.recommender_folder import TRAINING_REPORT
from ..hub.publish import publish
from ..training.pushes import TrainingPushes
from ..training.tracked_config import TrackedConfig
from .decoding_words import without_the_tree
from .results import run_facts

logger = logging.getLogger("hf_llmrec")


def finish_run(
    training: TrackedConfig, pushes: TrainingPushes, metrics: dict[str, float], began: float, report: dict[str, Any]
) -> None:
    """Write ``training_report.json`` and, with ``--push_to_hub``, push the folder with a model card in one commit.

    Unlike the pushes during training, this last one raises if it fails.

    Args:
        training: the trainer's options.
        pushes: the pushes during training, which are waited for; they also know which process writes.
        metrics: of the saved model, on validation users.
        began: `time.perf_counter` at the start of the command.
        report: further entries of the report.
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


def push_output(send: Callable[..., str], options: Any, **kwargs: Any) -> None:
    """Push a command's ``--output_dir`` to the Hub, with the command's ``--hub_...`` options.

    Args:
        send: `publish` or `publish_index`.
        options: has ``output_dir`` and the ``hub_...`` options as attributes.
        kwargs: further arguments of ``send``.
    """
    where = {"token": options.hub_token, "private": options.hub_private_repo, "revision": options.hub_revision}
    name = options.hub_model_id or Path(options.output_dir).resolve().name
    logger.info("pushed to %s", send(options.output_dir, name, **where, **kwargs))
