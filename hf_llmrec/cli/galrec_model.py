"""Builds a new GAL-Rec from a backbone and external embeddings of texts and of a collaborative teacher."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from trl import ModelConfig  # pyright: ignore[reportPrivateImportUsage]  # trl exports it lazily

from ..data.embedding_files import load_item_embeddings
from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..indexing.text_embeddings import embed_items
from ..methods.galrec.configuration_galrec import GALRecConfig
from ..methods.galrec.recommender import GALRecRecommender
from ..methods.galrec.trainer_config import GALRecTrainingConfig
from ..methods.sasrec.configuration_sasrec import SASRecConfig
from .galrec_options import EXTERNAL, GALRecArguments
from .json_options import naming
from .teacher import train_teacher


def external_item_vectors(arguments: GALRecArguments, dataset: RecDataset, output_dir: str) -> dict[str, np.ndarray]:
    """Load or make the items' external embeddings.

    Args:
        arguments: say which ones, and the files that hold them.
        dataset: its items are embedded.
        output_dir: the recommender's folder; a new teacher is trained beside it.

    Returns:
        by kind, ``text`` or ``collaborative``, float (num_items, size), with items in the dataset's order.
    """
    vectors, split = {}, arguments.split_of(dataset)
    if "text" in EXTERNAL[arguments.external]:
        if arguments.text_embeddings:
            vectors["text"] = load_item_embeddings(
                arguments.text_embeddings, dataset, split, other_data=arguments.other_data
            )
        else:
            vectors["text"] = embed_items(dataset, arguments.text_encoder)
    if "collaborative" in EXTERNAL[arguments.external]:
        if arguments.dry_run and not arguments.external_embeddings:  # the teacher's size is known without training it
            vectors["collaborative"] = np.zeros((dataset.num_items, SASRecConfig().hidden_size), dtype=np.float32)
        else:
            file = arguments.external_embeddings
            if not file:
                output = Path(output_dir).resolve()
                folder = Path(arguments.teacher_dir or output.with_name(f"{output.name}-teacher"))
                reuse = {"resume": arguments.resume, "other_data": arguments.other_data}
                file = train_teacher(arguments, dataset, folder, arguments.teacher_options, **reuse)
            vectors["collaborative"] = load_item_embeddings(file, dataset, split, other_data=arguments.other_data)
    return vectors


def galrec_from_backbone(
    arguments: GALRecArguments,
    model_config: ModelConfig,
    training: GALRecTrainingConfig,
    dataset: RecDataset,
    split: RecSplit,
) -> GALRecRecommender:
    """Make an untrained GAL-Rec.

    Args:
        arguments: of `train galrec`.
        model_config: names the pretrained backbone, if any.
        training: options of the trainer.
        dataset: what to train on.
        split: what is held out.
    """
    vectors = external_item_vectors(arguments, dataset, training.output_dir)
    with naming("model_options"):  # checks the values before anything is loaded
        GALRecConfig(**arguments.model_options)
    return GALRecRecommender.from_backbone(
        arguments.source(model_config),
        dataset=dataset,
        item_vectors=vectors,
        split=split,
        prompt=arguments.prompt(training),
        config=arguments.model_options,
        include_graph=arguments.include_graph,
        pretrained=training.pretrained,
        **arguments.loading(model_config, training),
    )
