"""Publishes a recommender folder with its model card, results and plots: one commit, after that of the wheel."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..data.files import read_json, write_json, write_text
from ..data.item_index import INDEX_FILE, ItemIndex
from ..data.recommender_folder import TEXT_ENCODER_FOLDER, TRAINING_REPORT, ItemCatalog, load_settings
from .export import full_name, make_repo, push_folder
from .model_card import CardFacts, make_card
from .published_files import CARD_FILE, all_files, copy_files, log_left_out, recommender_files
from .requirements import push_requirement, write_requirements

logger = logging.getLogger("hf_llmrec")
TRAINING_CONFIG_FILE = "training_config.yaml"
_NAMES = {"result": "results.json", "comparison": "comparison.json"}
# Files that are copied to repositories unchanged.
_CODE = Path(__file__).parent / "templates"


@dataclass
class Publication:
    """Files that are published in addition to the recommender folder, and facts for the card that no file contains.

    Attributes:
        dataset: name of the data set. Default: ``dataset_id``, or the name in the recommender folder.
        dataset_id: Hub id of the data set.
        result: result file of ``evaluate``.
        comparison: file ``comparison.json`` of ``compare``.
        name: name of the model in ``comparison``. Default: the folder's name.
        plots: image files to publish and show in the card.
        base_model: Hub id of the pretrained backbone, if there is one. Default: that of the training report.
        command: command of the training, for the card.
        commit: commit of the package that trained the model, for the card.
        license: identifier of the license, as the Hub spells it.
        language: language of the item texts, as an ISO 639-1 code.
    """

    dataset: str | None = None
    dataset_id: str | None = None
    result: str | os.PathLike | None = None
    comparison: str | os.PathLike | None = None
    name: str | None = None
    plots: Sequence[str | os.PathLike] = field(default_factory=tuple)
    base_model: str | None = None
    command: str | None = None
    commit: str | None = None
    license: str = "apache-2.0"
    language: str = "en"


def prepare(folder: str | os.PathLike, repo_id: str, publication: Publication, output: str | os.PathLike) -> None:
    """Write the contents of the repository to a folder, except ``requirements.txt`` (see `requirement_files`).

    Args:
        folder: a saved recommender of any method; its `recommender_files` are copied.
        repo_id: Hub id of the repository, for the card.
        publication: further files and facts.
        output: an empty folder to write to.

    Raises:
        FileNotFoundError: ``folder`` is not a recommender folder, or a file is missing.
        ValueError: ``publication.result`` is not a result file, or the comparison does not contain this model or has
            other metrics of it than its result file.
    """
    folder, output = Path(folder), Path(output)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    settings, catalog = load_settings(folder), ItemCatalog.load(folder)
    sources = {"result": publication.result, "comparison": publication.comparison}
    files = {name: read_json(file) for name, file in sources.items() if file is not None}
    if "result" in files and "metrics" not in files["result"]:
        raise ValueError(f"{publication.result}: not a result file; `evaluate --result F.json` writes one")
    report = folder / TRAINING_REPORT
    config = read_json(report).get("config", {}) if report.is_file() else {}
    # GAL-Rec has such an option, too, for the texts of its items.
    encoder = config.get("text_encoder") if settings["method"] == "text_encoder" else None
    plots = {Path(plot).name: Path(plot) for plot in publication.plots}
    index = None
    if (folder / INDEX_FILE).is_file():
        index = {"indexer": "an index of unknown origin", **ItemIndex.from_pretrained(folder).report()}
    dataset = publication.dataset or publication.dataset_id or settings.get("dataset")
    facts = CardFacts(
        repo_id,
        settings["method"],
        dataset or "a data set that its authors have not named",
        len(catalog.item_ids),
        result=files.get("result"),
        comparison=files.get("comparison"),
        name=publication.name or folder.resolve().name,
        index=index,
        dataset_id=publication.dataset_id,
        base_model=publication.base_model or _hub_id(config.get("base_model") or encoder),
        num_layers=config.get("num_layers"),
        command=publication.command,
        commit=publication.commit,
        plots={name: plot.stem.replace("_", " ") for name, plot in plots.items()},
        has_graph=bool(settings.get("graph")),
        has_memory=any("co_occurrence" in file for file in recommender_files(folder)),
        has_times=any("item_activity" in file for file in recommender_files(folder)),
        parts=[part.get("source", part["method"]) for part in settings.get("parts", [])],
        license=publication.license,
        language=publication.language,
    )
    published = recommender_files(folder)
    card = make_card(facts)  # before anything is written, because it checks the files
    log_left_out(folder, published, logger)
    copy_files(folder, published, output)
    for name, plot in plots.items():
        shutil.copyfile(plot, output / name)
    for name, value in files.items():
        write_json(output / _NAMES[name], value)
    if config:
        write_text(output / TRAINING_CONFIG_FILE, yaml.safe_dump(config, sort_keys=True))
    shutil.copyfile(_CODE / "handler.py", output / "handler.py")
    if settings["method"] == "lcrec":
        (output / "custom_generate").mkdir()
        shutil.copyfile(_CODE / "generate.py", output / "custom_generate" / "generate.py")
    card.save(output / CARD_FILE)


def publish(
    folder: str | os.PathLike,
    repo_id: str,
    publication: Publication | None = None,
    **hub_options: Any,
) -> str:
    """Push a recommender folder with its card.

    Args:
        folder: a saved recommender of any method.
        repo_id: ``name`` or ``owner/name``.
        publication: further files and facts; ``None``: the folder alone.
        hub_options: ``token``, ``private`` and ``revision``, as in `push_folder`.

    Returns:
        The address of the commit.

    Raises:
        FileNotFoundError: as in `prepare`.
        ValueError: as in `prepare`.
    """
    token, private, revision = (hub_options.get(name) for name in ("token", "private", "revision"))
    repo_id = full_name(repo_id, token=token)
    with tempfile.TemporaryDirectory() as staging:
        prepare(folder, repo_id, publication or Publication(), staging)  # before anything is created on the Hub
        make_repo(repo_id, token=token, private=private)
        # A text encoder may read histories by its sentence-transformers model.
        extra = "text" if any(Path(staging).rglob(f"{TEXT_ENCODER_FOLDER}/modules.json")) else None
        write_requirements(staging, push_requirement(repo_id, extra=extra, token=token, revision=revision))
        return push_folder(staging, all_files(staging), repo_id, **hub_options)


def _hub_id(base_model: str | Mapping | None) -> str | None:
    """The base model if it is a Hub id; a name without an owner may be a local folder."""
    return base_model if isinstance(base_model, str) and base_model.count("/") == 1 else None
