"""Publishes an item index, with its RQ-VAE if it has one, in one commit."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from ..data.item_index import ItemIndex
from ..indexing.plots import PLOT_FILE
from ..indexing.report import format_report
from .export import full_name, push_folder
from .published_files import CARD_FILE, all_files, copy_files, index_files, log_left_out, model_files

logger = logging.getLogger("hf_llmrec")
TEMPLATE = Path(__file__).parent / "templates" / "index.md.jinja"
MODEL_FOLDER = "rqvae"


def prepare_index(
    folder: str | os.PathLike,
    repo_id: str,
    output: str | os.PathLike,
    *,
    dataset: str | None = None,
    license: str = "apache-2.0",
) -> None:
    """Write the contents of the repository to a folder: index, plots, card, and at the root the files of the RQ-VAE.

    Args:
        folder: output folder of ``build-index``.
        repo_id: Hub id of the repository, for the card.
        output: an empty folder to write to; it is created if it does not exist.
        dataset: name of the data set; ``None``: the card does not name one.
        license: identifier of the license, as the Hub spells it.

    Raises:
        FileNotFoundError: ``folder`` has no index.
    """
    folder, output = Path(folder), Path(output)
    index = ItemIndex.from_pretrained(folder)
    output.mkdir(parents=True, exist_ok=True)
    report = index.report()
    # The folder may contain the RQ-VAE of an earlier index.
    has_model = report.get("indexer") == "rqvae" and (folder / MODEL_FOLDER).is_dir()
    if has_model:
        copy_files(folder / MODEL_FOLDER, model_files(folder / MODEL_FOLDER), output)
    published = index_files(folder)
    copy_files(folder, published, output)
    log_left_out(folder, [*published, *([MODEL_FOLDER] if has_model else [])], logger)
    tags = ["recommendation", "item-index", "hf_llmrec", "lcrec", "arxiv:2311.09049"]
    data = ModelCardData(license=license, library_name="hf_llmrec", tags=tags + ["custom_code"] * has_model)
    ModelCard.from_template(
        data,
        template_path=str(TEMPLATE),
        name=repo_id.split("/")[-1],
        repo_id=repo_id,
        dataset=dataset,
        report=report,
        text=format_report(report),
        plots=[name for name in published if name == PLOT_FILE],
        has_model=has_model,
    ).save(output / CARD_FILE)


def publish_index(folder: str | os.PathLike, repo_id: str, *, dataset: str | None = None, **hub_options: Any) -> str:
    """Push an index folder with its card.

    Args:
        folder: output folder of ``build-index``.
        repo_id: ``name`` or ``owner/name``.
        dataset: name of the data set; ``None``: the card does not name one.
        hub_options: ``token``, ``private`` and ``revision``, as in `push_folder`.

    Returns:
        The address of the commit.
    """
    repo_id = full_name(repo_id, token=hub_options.get("token"))
    with tempfile.TemporaryDirectory() as staging:
        prepare_index(folder, repo_id, staging, dataset=dataset)
        return push_folder(staging, all_files(staging), repo_id, **hub_options)
