"""Selects the files of a folder that are published: only those named here.

A run's folder also contains checkpoints, logs, GAL-Rec's teacher with a vector of every user, and the owner's own
files. Patterns are those of `pathlib.Path.glob`.
"""

from __future__ import annotations

import glob
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from transformers.dynamic_module_utils import get_relative_import_files
from transformers.utils import CONFIG_NAME, GENERATION_CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from ..data.co_occurrence import CO_OCCURRENCE_FILE
from ..data.files import read_json
from ..data.graph_files import GRAPH_FILE
from ..data.item_activity import ACTIVITY_FILE
from ..data.item_index import INDEX_FILE, TENSORS_FILE
from ..data.loading import TABLES
from ..data.recommender_folder import (
    CATALOG_FILE,
    PART_NAME,
    PARTS_FOLDER,
    RECOMMENDER_FILE,
    RUN_FILE,
    TEXT_ENCODER_FOLDER,
    TRAINING_REPORT,
)
from ..indexing.plots import PLOT_FILE

CARD_FILE = "README.md"
REQUIREMENTS_FILE = "requirements.txt"
_TOKENIZER_CONFIG = "tokenizer_config.json"
_TOKENIZER = (
    *("tokenizer.json", _TOKENIZER_CONFIG, "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "additional_chat_templates/*.jinja"),
    # Files of tokenizers that were not converted to tokenizer.json.
    *("vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
    *("*.tiktoken", "tekken.json"),
)
_SENTENCE_MODULES = "modules.json"
_SENTENCE_MODEL = (_SENTENCE_MODULES, "config_sentence_transformers.json", "sentence_bert_config.json")
_MODEL = (CONFIG_NAME, GENERATION_CONFIG_NAME, *_TOKENIZER)
_RECOMMENDER = (
    CATALOG_FILE,
    RECOMMENDER_FILE,
    TRAINING_REPORT,
    INDEX_FILE,
    GRAPH_FILE,
    CO_OCCURRENCE_FILE,
    ACTIVITY_FILE,
)
# Not `training_args.bin`: resuming does not read it, and it contains the pickled access token.
_CHECKPOINT = (
    *("adapter_config.json", "adapter_model.safetensors", "*/adapter_config.json", "*/adapter_model.safetensors"),
    *("trainer_state.json", "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth", "rng_state_*.pth"),
    *(RUN_FILE, INDEX_FILE, "galrec_queue.safetensors", "galrec_momentum_*.safetensors"),
    # DeepSpeed
    *("latest", "zero_to_fp32.py", "global_step*/*"),
    # FSDP
    *("pytorch_model_fsdp.bin", "optimizer.bin", "pytorch_model_fsdp_*/*", "optimizer_*/*"),
)


def recommender_files(folder: str | os.PathLike) -> list[str]:
    """Files of a saved recommender of any method: weights, configuration, tokenizer, catalogue, a fusion's parts.

    Args:
        folder: folder of the recommender.

    Returns:
        Sorted paths relative to ``folder``, with ``/``; likewise for the other functions of this module.

    Raises:
        FileNotFoundError: weights are missing.
    """
    settings = Path(folder) / RECOMMENDER_FILE
    inside = [
        f"{PARTS_FOLDER}/{part['name']}/{file}"
        for part in (read_json(settings).get("parts", []) if settings.is_file() else [])
        if "source" not in part and PART_NAME.fullmatch(part["name"])  # with a source it is a repository of its own
        for file in recommender_files(Path(folder) / PARTS_FOLDER / part["name"])
    ]
    encoder = Path(folder) / TEXT_ENCODER_FOLDER
    if (encoder / _SENTENCE_MODULES).is_file():
        inside += [f"{TEXT_ENCODER_FOLDER}/{file}" for file in sentence_model_files(encoder)]
    return sorted({*_present(folder, _RECOMMENDER), *model_files(folder), *inside})


def sentence_model_files(folder: str | os.PathLike) -> list[str]:
    """Files of a sentence-transformers model: the list of its modules, and of each module configuration and weights.

    Args:
        folder: folder of the model.
    """
    modules = [module["path"] for module in read_json(Path(folder) / _SENTENCE_MODULES)]
    places = [f"{glob.escape(path)}/" if path else "" for path in ["", *modules] if Path(path).name == path]
    files = (CONFIG_NAME, SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, "model-*-of-*.safetensors", *_TOKENIZER)
    names = (*_SENTENCE_MODEL, *(f"{place}{file}" for place in places for file in files))
    return _present(folder, names)


def checkpoint_files(folder: str | os.PathLike) -> list[str]:
    """Files that a run is resumed from.

    Args:
        folder: a ``checkpoint-N`` folder.
    """
    return _present(folder, (*_CHECKPOINT, *_MODEL, *map(glob.escape, [*_weights(folder), *_code(folder)])))


def index_files(folder: str | os.PathLike) -> list[str]:
    """Files of an item index, without its RQ-VAE, which is a model (see `model_files`).

    Args:
        folder: folder of the index.
    """
    return _present(folder, (INDEX_FILE, TENSORS_FILE, PLOT_FILE))


def model_files(folder: str | os.PathLike) -> list[str]:
    """Files of a saved ``PreTrainedModel``. If there are several versions of the weights: those that are loaded.

    Args:
        folder: folder of the model.

    Raises:
        FileNotFoundError: weights are missing.
    """
    weights = _weights(folder)
    for name in weights:
        if not (Path(folder) / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}: the model cannot be loaded from it")
    return _present(folder, (*_MODEL, *map(glob.escape, [*weights, *_code(folder)])))


def dataset_files(folder: str | os.PathLike) -> list[str]:
    """Files of a dataset folder: its tables and its card.

    Args:
        folder: folder of the dataset.
    """
    tables = (pattern for name in TABLES for pattern in (f"{name}.parquet", f"{name}/*.parquet"))
    return _present(folder, (CARD_FILE, *tables))


def all_files(folder: str | os.PathLike) -> list[str]:
    """All files of a folder, for folders that were written for an upload.

    Args:
        folder: the folder.
    """
    return _present(folder, ("**/*",))


def copy_files(
    folder: str | os.PathLike,
    files: Iterable[str],
    output: str | os.PathLike,
    copy: Callable[[str, str], object] = shutil.copyfile,
) -> None:
    """Copy files of a folder to the same relative paths of another folder.

    Args:
        folder: folder to copy from.
        files: paths relative to ``folder``.
        output: folder to copy to.
        copy: called with source and target of each file.
    """
    for name in files:
        target = Path(output) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy(str(Path(folder) / name), str(target))


def log_left_out(folder: str | os.PathLike, files: Iterable[str], logger: logging.Logger) -> None:
    """Log which entries of a folder are not published, so that nobody assumes a backup of them.

    Args:
        folder: the folder.
        files: published files, as paths relative to ``folder``.
        logger: logger to write to.
    """
    published = {name.split("/")[0] for name in files}
    left_out = sorted({path.name for path in Path(folder).iterdir()} - published)
    if left_out:
        more = f" and {len(left_out) - 10} more" if len(left_out) > 10 else ""
        logger.info("%s: not published: %s%s", folder, ", ".join(left_out[:10]), more)


def _present(folder: str | os.PathLike, patterns: Iterable[str]) -> list[str]:
    folder = Path(folder)
    paths = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def _weights(folder: str | os.PathLike) -> list[str]:
    """The weights that ``from_pretrained`` reads: a single file, or the index of shards and the shards in it."""
    index = Path(folder) / SAFE_WEIGHTS_INDEX_NAME
    if (Path(folder) / SAFE_WEIGHTS_NAME).is_file() or not index.is_file():
        return [SAFE_WEIGHTS_NAME]
    return [SAFE_WEIGHTS_INDEX_NAME, *_inside(read_json(index)["weight_map"].values())]


def _code(folder: str | os.PathLike) -> list[str]:
    """Remote code: the modules in ``auto_map`` and the modules that they import."""
    folder, mapped = Path(folder), set()
    for name in (CONFIG_NAME, _TOKENIZER_CONFIG):
        auto_map = read_json(folder / name).get("auto_map", {}) if (folder / name).is_file() else {}
        for value in auto_map.values():
            for reference in value if isinstance(value, list) else [value]:
                # `owner/name--module.Class` is in another repository.
                if reference is not None and "--" not in reference:
                    mapped.add(f"{reference.split('.')[0]}.py")
    modules = [name for name in _inside(mapped) if (folder / name).is_file()]
    imported = (Path(file).name for name in modules for file in get_relative_import_files(folder / name))
    return [*modules, *_inside(imported)]


def _inside(names: Iterable[str]) -> list[str]:
    """File names that files of the folder list, without those that point outside of the folder."""
    return sorted({name for name in names if Path(name).name == name})
