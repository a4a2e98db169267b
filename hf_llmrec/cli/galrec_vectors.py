"""The external embeddings of the items that ``train galrec`` gives its model: of texts, and of a teacher."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..data.embedding_files import load_item_embeddings
from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..indexing.text_embeddings import embed_items
from ..methods.sasrec.configuration_sasrec import SASRecConfig
from .galrec_options import EXTERNAL, GALRecArguments
from .teacher import train_teacher


def item_vectors(
    arguments: GALRecArguments, dataset: RecDataset, split: RecSplit, output_dir: str, *, is_saved: bool
) -> dict[str, np.ndarray]:
    """Load the external embeddings, and make those that no file is given for.

    Args:
        arguments: say which ones, and the files that hold them.
        dataset: its items are embedded.
        split: what is held out of it.
        output_dir: the recommender's folder; a new teacher is trained beside it.
        is_saved: training goes on from a saved GAL-Rec, which has its own: none are made.

    Returns:
        by kind, ``text`` or ``collaborative``, float (num_items, size), with items in the dataset's order.
    """
    files = {"text": arguments.text_embeddings, "collaborative": arguments.external_embeddings}
    kinds = EXTERNAL[arguments.external]
    vectors = {}
    for kind in kinds:
        if file := files[kind]:
            vectors[kind] = load_item_embeddings(file, dataset, split, other_data=arguments.other_data)
        elif kind == "text" and not is_saved:
            vectors[kind] = embed_items(dataset, arguments.text_encoder)
        elif not is_saved:
            vectors[kind] = _of_teacher(arguments, dataset, split, output_dir)
    return vectors


def _of_teacher(arguments: GALRecArguments, dataset: RecDataset, split: RecSplit, output_dir: str) -> np.ndarray:
    if arguments.dry_run:  # the teacher's size is known without training it
        return np.zeros((dataset.num_items, SASRecConfig().hidden_size), dtype=np.float32)
    output = Path(output_dir).resolve()
    folder = Path(arguments.teacher_dir or output.with_name(f"{output.name}-teacher"))
    reuse = {"resume": arguments.resume, "other_data": arguments.other_data}
    file = train_teacher(arguments, dataset, split, folder, arguments.teacher_options, **reuse)
    return load_item_embeddings(file, dataset, split, other_data=arguments.other_data)
