"""The collaborative teacher of GAL-Rec: a SASRec that is trained first, in its own process.

That process runs this file as a program: ``python -m hf_llmrec.cli.teacher OPTIONS``.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import PartialState

from ..cli import main
from ..data.embedding_files import load_item_embeddings
from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..training.main_process import run_on_main_process
from .child_process import environment_outside_group
from .option_words import as_words
from .options import DatasetArguments

logger = logging.getLogger("hf_llmrec")


def train_teacher(
    data: DatasetArguments,
    dataset: RecDataset,
    split: RecSplit,
    folder: Path,
    options: Mapping[str, Any],
    *,
    resume: bool,
    other_data: bool = False,
) -> Path:
    """Train SASRec on the main process, while the others wait.

    Args:
        data: options of the dataset to train on.
        dataset: that dataset.
        split: what is held out of it.
        folder: where the teacher, its checkpoints and its embeddings go; not the recommender's folder, which is
            published.
        options: options of `train sasrec`, which replace the defaults chosen here.
        resume: use the teacher of the same data that ``folder`` already holds, or resume its training.
        other_data: use such a teacher even if it was trained on other data or another split.

    Returns:
        the safetensors file of its item embeddings.

    Raises:
        RuntimeError: the training failed.
        ValueError: the teacher in ``folder`` was trained on other data.
        ConnectionError: on other processes, if the main process ended.
    """
    file = folder / "embeddings.safetensors"

    def work() -> None:
        if file.exists() and resume:
            load_item_embeddings(file, dataset, split, other_data=other_data)
            logger.info("no --external_embeddings: those of the teacher in %s are used again", folder)
            return
        logger.info("no --external_embeddings: SASRec is trained first, in %s", folder)
        code = _run({**_defaults(data, folder, file, resume), **options})
        if code:
            raise RuntimeError(f"training SASRec, the teacher, ended with {code}; see its log above")

    run_on_main_process(work, "training SASRec, the teacher")
    return file


def _defaults(data: DatasetArguments, folder: Path, file: Path, resume: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"dataset": data.dataset, "k_core": data.k_core, **data.split_options}
    options["output_dir"] = folder
    # User embeddings are not needed, and should not be left beside a model.
    options |= {"export_embeddings": file, "export_users": False, "resume": resume}
    if data.cpu_threads is not None:
        options["cpu_threads"] = data.cpu_threads
    device = PartialState().device
    use_cpu = device is not None and device.type == "cpu"
    return {**options, "disable_tqdm": True, "report_to": "none", "use_cpu": use_cpu}


def _run(options: Mapping[str, Any]) -> int:
    # A SASRec trains on one process, with the threads of all.
    environment = environment_outside_group("ACCELERATE_", "OMP_NUM_")
    command = [sys.executable, "-m", __name__, *as_words(dict(options))]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) as process:
        return process.wait()


def _teach(argv: list[str]) -> int:
    """Train SASRec, and end early if the parent process ends: nobody would use the teacher then."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(format="teacher: %(message)s", stream=sys.stderr)
    return main(["train", "sasrec", *argv])


def _end_with_parent() -> None:
    os.read(0, 1)  # returns when the other end of the pipe is closed
    os._exit(1)


if __name__ == "__main__":
    sys.exit(_teach(sys.argv[1:]))
