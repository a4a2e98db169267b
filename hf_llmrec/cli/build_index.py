"""``build-index``: item texts or embeddings -> discrete item indices, with a report and plots."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..data.embedding_files import load_item_embeddings, read_data_fingerprint
from ..data.fingerprints import DataFingerprint
from ..hub.publish_index import publish_index
from ..indexing.build import build_index
from ..indexing.plots import save_plots
from ..indexing.report import format_report
from ..indexing.text_embeddings import embed_items
from ..training.main_process import run_on_main_process
from .list_options import json_object
from .option_parser import OptionParser
from .options import SameDataArguments, start_run
from .saving import push_output

logger = logging.getLogger("hf_llmrec")


@dataclass
class IndexArguments(SameDataArguments):
    """What to index, and how.

    Args:
        output_dir: folder for the index, its report and plots.
        indexer: ``kmeans`` (residual k-means) or ``rqvae`` (the paper's, trained here and saved beside the index).
        text_embeddings: safetensors file with (items, d) embeddings in the dataset's item order.
        text_encoder: sentence-transformers model or causal LM that embeds the items' texts; without either, TF-IDF and
            truncated SVD.
        collaborative: safetensors file with collaborative item embeddings (``train sasrec --export_embeddings``), to
            be indexed together with the texts.
        levels: codes per item.
        codebook_size: codes per level (default: from the number of items, at most 256).
        indexer_options: further options of the indexer: ``iterations``, ``collaborative_weight`` and
            ``whitened_dimensions`` of k-means; ``steps``, ``batch_size``, ``learning_rate`` and ``alignment_weight`` of
            the RQ-VAE.
        seed: fixes initialisation and order.
        push_to_hub, hub_model_id, hub_token, hub_private_repo, hub_revision: publish index and RQ-VAE.
    """

    output_dir: str = field(default=None, metadata={"help": "folder for the index, its report and plots"})
    indexer: str = field(default="kmeans", metadata={"help": "`kmeans` (residual k-means) or `rqvae`"})
    text_embeddings: str | None = field(default=None, metadata={"help": "safetensors with (items, d) embeddings"})
    text_encoder: str | None = field(
        default=None, metadata={"help": "sentence-transformers model or causal LM (default: TF-IDF + SVD)"}
    )
    collaborative: str | None = field(
        default=None, metadata={"help": "safetensors with collaborative (items, d) embeddings, indexed with the texts"}
    )
    levels: int = field(default=4, metadata={"help": "codes per item"})
    codebook_size: int | None = field(default=None, metadata={"help": "codes per level (default: from the catalogue)"})
    indexer_options: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "JSON or mapping: `iterations` (kmeans); `steps`, `batch_size`... (rqvae)"}
    )
    seed: int = field(default=0, metadata={"help": "fixes initialisation and order"})
    push_to_hub: bool = field(default=False, metadata={"help": "publish the index, and the RQ-VAE, at the end"})
    hub_model_id: str | None = field(default=None, metadata={"help": "as what (default: name of --output_dir)"})
    hub_token: str | None = field(default=None, metadata={"help": "access token (default: that of the login)"})
    hub_private_repo: bool | None = field(default=None, metadata={"help": "make a private repository"})
    hub_revision: str | None = field(default=None, metadata={"help": "branch to push to"})

    def __post_init__(self):
        if not self.output_dir:
            raise ValueError("--output_dir is required")
        self.indexer_options = json_object("indexer_options", self.indexer_options)
        for name, value in self.indexer_options.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"--indexer_options: {name} must be a number, got {value!r}")
        if self.text_embeddings and self.text_encoder:
            raise ValueError("give --text_embeddings or --text_encoder, not both")


def run(arguments: IndexArguments) -> None:
    """Embed, index, report and save."""
    dataset, split = arguments.load()
    if arguments.text_embeddings:
        embeddings = load_item_embeddings(arguments.text_embeddings, dataset, split, other_data=arguments.other_data)
    else:
        embeddings = embed_items(dataset, source=arguments.text_encoder or "tfidf", seed=arguments.seed)
    collaborative = None
    if arguments.collaborative:
        collaborative = load_item_embeddings(arguments.collaborative, dataset, split, other_data=arguments.other_data)
        # What no training interaction has touched is where its initialisation put it.
        untouched = np.bincount(split.train_indices, minlength=dataset.num_items) == 0
        collaborative[untouched] = 0
        logger.info("%d items without a training interaction are indexed by their texts", untouched.sum())
    index = build_index(
        embeddings,
        dataset.item_ids,
        indexer=arguments.indexer,
        levels=arguments.levels,
        codebook_size=arguments.codebook_size,
        collaborative=collaborative,
        fitted_on=fitted_on(arguments.collaborative, arguments.text_embeddings),
        seed=arguments.seed,
        model_dir=Path(arguments.output_dir) / "rqvae",
        **arguments.indexer_options,
    )
    index.save_pretrained(arguments.output_dir)
    save_plots(index, arguments.output_dir)
    print(format_report(index.report()))
    if arguments.push_to_hub:
        push_output(publish_index, arguments, dataset=dataset.name)


def fitted_on(*files: str | None) -> DataFingerprint | None:
    """What the first of these embedding files that were fitted on interactions records of them.

    Files of texts were not; those of version 0.1 and of other programs do not say.
    """
    for file in filter(None, files):
        recorded = read_data_fingerprint(file)
        if isinstance(recorded, DataFingerprint) and recorded.interactions is not None:
            return recorded
    return None


def main(argv: list[str] | None = None) -> int:
    (arguments,) = OptionParser((IndexArguments,)).parse_args_and_config(sys.argv[1:] if argv is None else argv)
    start_run(arguments)
    # One process builds: the work is sequential, and the files must not be written twice.
    run_on_main_process(lambda: run(arguments), "building the index")
    return 0
