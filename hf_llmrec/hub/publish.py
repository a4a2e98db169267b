"""A recommender folder with its model card, results and plots -> the Hub, in one commit after that of the wheel."""

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
from ..data.recommender_folder import TRAINING_REPORT, ItemCatalog, load_settings
from .export import full_name, make_repo, push_folder
from .model_card import CardFacts, make_card
from .published_files import CARD_FILE, all_files, copy_files, log_left_out, recommender_files
from .requirements import push_requirement, write_requirements

logger = logging.getLogger("hf_llmrec")
TRAINING_CONFIG_FILE = "training_config.yaml"
_NAMES = {"result": "results.json", "comparison": "comparison.json"}
# Files that travel to repositories as they are.
_CODE = Path(__file__).parent / "templates"


@dataclass
class Publication:
    """What goes to the Hub beside the folder itself, and what the card says that no file knows.

    Attributes:
        dataset: its name. dataset_id: its Hub id.
        result: result file of ``evaluate``. comparison: ``comparison.json`` of ``compare``; name: of the model in it,
            default: the folder's name.
        plots: image files, copied and shown in the card.
        base_model: Hub id of the pretrained backbone, where there was one.
        command: of the training, as the card shows it. commit: of the package.
        license, language: of the model card.
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
    """Write to ``output`` what the repository will hold, but for ``requirements.txt``: see `requirement_files`.

    Args:
        folder: a saved recommender of any method, of which `recommender_files` are copied.
        repo_id: where it will lie, for the card.
        publication: what else goes there. output: an empty folder.

    Raises:
        FileNotFoundError: a folder that is no recommender, or a file that is not there.
        ValueError: a comparison without this model, or with other figures than those of its result file.
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
        base_model=publication.base_model or _hub_id(config.get("base_model")),
        command=publication.command,
        commit=publication.commit,
        plots={name: plot.stem.replace("_", " ") for name, plot in plots.items()},
        has_graph=bool(settings.get("graph")),
        license=publication.license,
        language=publication.language,
    )
    published = recommender_files(folder)
    card = make_card(facts)  # before anything is written: it looks at all files
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
    """Push a recommender folder with its card; returns the commit's address.

    Args:
        folder: a saved recommender of any method. repo_id: ``name`` or ``owner/name``.
        publication: what else goes there.
        hub_options: ``token``, ``private``, ``revision``, as in `push_folder`.
    """
    token, private, revision = (hub_options.get(name) for name in ("token", "private", "revision"))
    repo_id = full_name(repo_id, token=token)
    with tempfile.TemporaryDirectory() as staging:
        prepare(folder, repo_id, publication or Publication(), staging)  # before there is anything on the Hub
        make_repo(repo_id, token=token, private=private)
        write_requirements(staging, push_requirement(repo_id, token=token, revision=revision))
        return push_folder(staging, all_files(staging), repo_id, **hub_options)


def _hub_id(base_model: str | Mapping | None) -> str | None:
    """A base model's name where it is one of the Hub; a bare name may be a local folder's."""
    return base_model if isinstance(base_model, str) and base_model.count("/") == 1 else None
