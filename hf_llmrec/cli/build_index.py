"""``build-index``: item texts or embeddings -> discrete item indices, with a report and plots."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np

from ..data.embedding_files import load_item_embeddings, read_data_fingerprint
from ..data.fingerprints import DataFingerprint
from ..hub.publish_index import publish_index
from ..indexing.build import build_index
from ..indexing.plots import save_plots
from ..indexing.report import format_report
from ..indexing.text_embeddings import embed_items
from ..training.main_process import run_on_main_process
from .index_options import IndexArguments
from .option_parser import OptionParser
from .processes import start_run
from .saving import push_output

logger = logging.getLogger("hf_llmrec")


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
        # The embedding of an item without training interactions is still its random initialisation.
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
    """The fingerprint of the interactions that embeddings were fitted on; ``None`` if no file records one.

    Text embeddings were not fitted on interactions; files of version 0.1 and of other programs do not say.

    Args:
        files: embedding files, ``None`` where there is none; the first one with such a record counts.
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
