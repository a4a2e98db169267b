"""What every training command leaves behind: a whole recommender folder, its report, and its copy on the Hub."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainingArguments

from ..data.files import move_files, write_json
from ..data.graph_files import GRAPH_FILE
from ..data.interactions import RecDataset
from ..data.recommender_folder import TRAINING_REPORT, ItemCatalog, save_settings
from ..hub.publish import publish
from .results import run_facts, without_the_tree
from .training_pushes import TrainingPushes

logger = logging.getLogger("hf_llmrec")


def save_recommender(
    output_dir: str,
    method: str,
    dataset: RecDataset,
    settings: dict[str, Any],
    save_model: Callable[[Path], None],
    *,
    is_writer: bool = True,
) -> None:
    """Write weights (and tokenizer), catalogue and settings under a hidden name, then rename.

    Called on all processes. What a killed save left under the hidden name is deleted first, and so are weights and the
    graph of an earlier model in ``output_dir`` that this one does not replace: shards of both would be read and
    published together.

    Args:
        output_dir: the recommender folder.
        method: names the ranker, see `hf_llmrec.methods.auto`.
        settings: how it recommends, and ``data``: what it learned from.
        save_model: called with the hidden folder on all processes; what it writes is part of the result.
        is_writer: whether this process writes the rest.
    """
    # All processes name the same folder. Nobody finds a model without its catalogue.
    staging = Path(output_dir) / ".staging-recommender"
    if is_writer:
        shutil.rmtree(staging, ignore_errors=True)
    PartialState().wait_for_everyone()  # nobody writes before it is empty
    save_model(staging)
    if is_writer:
        ItemCatalog(dataset.item_ids, dataset.titles, dataset.fingerprint).save(staging)
        save_settings(staging, method, {"dataset": dataset.name, **settings})
        _remove_replaced(Path(output_dir), staging)
        move_files(staging, Path(output_dir))
        shutil.rmtree(staging)


def _remove_replaced(folder: Path, staging: Path) -> None:
    """Delete files of an earlier model that would be taken for parts of the one in ``staging``."""
    for pattern in ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json", GRAPH_FILE):
        for file in folder.glob(pattern):
            if not (staging / file.name).exists():
                file.unlink()


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
