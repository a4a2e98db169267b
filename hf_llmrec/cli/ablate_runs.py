"""The runs of ``ablate``: what each follows from, and how it is trained."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from trl import ModelConfig

from ..cli import train_galrec
from ..data.files import read_json
from ..data.interactions import RecDataset
from ..methods.galrec.trainer_config import GALRecTrainingConfig
from .ablate_options import AblationArguments
from .galrec_options import GALRecArguments
from .option_parser import OptionParser, read_config
from .options import as_words
from .teacher import train_teacher


def made_from(arguments: AblationArguments, data: dict[str, Any]) -> dict[str, Any]:
    """What all runs follow from beside their variant and seed.

    Args:
        data: facts of the dataset.
    """
    files = {name: getattr(arguments, name) for name in ("external_embeddings", "text_embeddings")}
    digests = {name: file and _digest(Path(file).read_bytes()) for name, file in files.items()}
    return {"base": read_config(arguments.base), "data": data, "files": digests}


def changed_since(record: dict[str, Any], file: Path) -> list[str] | None:
    """In which of its parts ``record`` differs from that of the run in ``file``; ``None``: there is no such run."""
    if not file.is_file():
        return None
    there = read_json(file)
    return [name for name, value in record.items() if there.get(name) != value]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def train_variant(
    arguments: AblationArguments, dataset: RecDataset, changes: dict[str, Any], seed: int, folder: Path
) -> float:
    """Train one model; returns the seconds it took."""
    options = {"dataset": arguments.dataset, "k_core": arguments.k_core, "protocol": arguments.protocol}
    options |= {"output_dir": str(folder), "seed": seed, "disable_tqdm": True, "resume": False, **changes}
    parser = OptionParser((GALRecArguments, GALRecTrainingConfig, ModelConfig))
    parsed = parser.parse_args_and_config(["--config", arguments.base, *as_words(options)])
    began = time.perf_counter()
    one = parsed[0]
    if one.external != "text":
        one.external_embeddings = arguments.external_embeddings or shared_teacher(arguments, dataset, one)
    if one.external != "collaborative":
        one.text_embeddings = arguments.text_embeddings
    train_galrec.run(*parsed)
    return time.perf_counter() - began


def shared_teacher(arguments: AblationArguments, dataset: RecDataset, one: GALRecArguments) -> str:
    """Embeddings of the SASRec that all variants and seeds with the same ``teacher_options`` share."""
    follows_from = json.dumps([one.teacher_options, arguments.data_facts(dataset)], sort_keys=True)
    folder = Path(arguments.output_dir) / f"teacher-{_digest(follows_from.encode())}"
    return str(train_teacher(arguments, dataset, folder, one.teacher_options, resume=True))
