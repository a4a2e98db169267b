"""The training runs of ``ablate``: what identifies one, and how it is trained."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from trl import ModelConfig  # pyright: ignore[reportPrivateImportUsage]  # trl exports it lazily

from ..cli import train_galrec
from ..data.files import read_json
from ..data.interactions import RecDataset
from ..methods.galrec.trainer_config import GALRecTrainingConfig
from .ablate_options import AblationArguments
from .config_file import read_config
from .galrec_options import GALRecArguments
from .option_parser import OptionParser
from .option_words import as_words
from .teacher import train_teacher


def made_from(arguments: AblationArguments, data: dict[str, Any]) -> dict[str, Any]:
    """What determines the results of all runs, besides variant and seed: options, data and embedding files.

    Args:
        arguments: of ``ablate``.
        data: facts about the dataset and its split, from `DatasetArguments.data_facts`.
    """
    files = {name: getattr(arguments, name) for name in ("external_embeddings", "text_embeddings")}
    digests = {name: file and _digest(Path(file).read_bytes()) for name, file in files.items()}
    return {"base": read_config(arguments.base), "data": data, "files": digests}


def changed_since(record: dict[str, Any], file: Path) -> list[str] | None:
    """What differs between a run and an earlier one.

    Args:
        record: describes the run: its options, its seed and the entries of `made_from`.
        file: JSON file of the earlier run, which holds such a record.

    Returns:
        names of the entries that differ; ``None`` if there is no earlier run.
    """
    if not file.is_file():
        return None
    earlier = read_json(file)
    return [name for name, value in record.items() if earlier.get(name) != value]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def train_variant(
    arguments: AblationArguments, dataset: RecDataset, changes: dict[str, Any], seed: int, folder: Path
) -> float:
    """Train one model.

    Args:
        arguments: of ``ablate``.
        dataset: what to train on.
        changes: options of `train galrec` in which the variant differs from ``--base``.
        seed: of training.
        folder: where the model goes.

    Returns:
        the duration in seconds.
    """
    options = {"dataset": arguments.dataset, "k_core": arguments.k_core, **arguments.split_options}
    options |= {"output_dir": str(folder), "seed": seed, "disable_tqdm": True, "resume": False, **changes}
    parser = OptionParser((GALRecArguments, GALRecTrainingConfig, ModelConfig))
    parsed = parser.parse_args_and_config(["--config", arguments.base, *as_words(options)])
    began = time.perf_counter()
    galrec_arguments = parsed[0]
    if galrec_arguments.external != "text":
        file = arguments.external_embeddings or shared_teacher(arguments, dataset, galrec_arguments.teacher_options)
        galrec_arguments.external_embeddings = file
    if galrec_arguments.external != "collaborative":
        galrec_arguments.text_embeddings = arguments.text_embeddings
    train_galrec.run(*parsed)
    return time.perf_counter() - began


def shared_teacher(arguments: AblationArguments, dataset: RecDataset, options: dict[str, Any]) -> str:
    """The embedding file of the SASRec that all variants and seeds with the same teacher options share.

    Args:
        arguments: of ``ablate``.
        dataset: what to train on.
        options: of `train sasrec`.
    """
    key = json.dumps([options, arguments.data_facts(dataset)], sort_keys=True)
    folder = Path(arguments.output_dir) / f"teacher-{_digest(key.encode())}"
    split = arguments.split_of(dataset)
    return str(train_teacher(arguments, dataset, split, folder, options, resume=True))
