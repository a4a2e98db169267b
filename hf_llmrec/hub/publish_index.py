"""An item index, with the RQ-VAE where it was made by one -> the Hub, in one commit."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from ..data.item_index import INDEX_FILE, TENSORS_FILE, ItemIndex
from ..indexing.report import format_report
from .export import push_folder

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
    """Write to ``output`` what the repository will hold: index, plots, card, and at its root the RQ-VAE.

    Args:
        folder: of ``build-index``. repo_id: where it will lie, for the card. output: an empty folder.
        dataset: name of the data set. license: identifier.

    Raises:
        FileNotFoundError: a folder without an index.
    """
    folder, output = Path(folder), Path(output)
    index = ItemIndex.from_pretrained(folder)
    output.mkdir(parents=True, exist_ok=True)
    report = index.report()
    # A folder may hold the network of an earlier index.
    has_model = report.get("indexer") == "rqvae" and (folder / MODEL_FOLDER).is_dir()
    if has_model:
        shutil.copytree(folder / MODEL_FOLDER, output, dirs_exist_ok=True)
    plots = sorted(path.name for path in folder.glob("*.png"))
    for name in (INDEX_FILE, TENSORS_FILE, *plots):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, output / name)
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
        plots=plots,
        has_model=has_model,
    ).save(output / "README.md")


def publish_index(folder: str | os.PathLike, repo_id: str, *, dataset: str | None = None, **hub_options: Any) -> str:
    """Push an index folder; returns the commit's address. See `prepare_index` and `push_folder`."""
    with tempfile.TemporaryDirectory() as staging:
        prepare_index(folder, repo_id, staging, dataset=dataset)
        return push_folder(staging, repo_id, **hub_options)
