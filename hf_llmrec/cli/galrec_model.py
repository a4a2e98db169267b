"""What GAL-Rec is built of: a backbone, and external embeddings of text and of a collaborative teacher."""

from __future__ import annotations

from pathlib import Path

import torch
from trl import ModelConfig

from ..data.embedding_files import load_item_embeddings
from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..indexing.text_embeddings import embed_items
from ..methods.galrec.configuration_galrec import GALRecConfig
from ..methods.galrec.recommender import GALRecRecommender
from ..methods.galrec.trainer_config import GALRecTrainingConfig
from ..methods.sasrec.configuration_sasrec import SASRecConfig
from .galrec_options import EXTERNAL, GALRecArguments
from .list_options import naming
from .teacher import train_teacher


def external_item_vectors(arguments: GALRecArguments, dataset: RecDataset, output_dir: str) -> dict[str, torch.Tensor]:
    """External embeddings of the items, per kind float (num_items, size)."""
    vectors, split = {}, dataset.split(arguments.protocol)
    if "text" in EXTERNAL[arguments.external]:
        if arguments.text_embeddings:
            vectors["text"] = load_item_embeddings(
                arguments.text_embeddings, dataset, split, other_data=arguments.other_data
            )
        else:
            vectors["text"] = embed_items(dataset, arguments.text_encoder)
    if "collaborative" in EXTERNAL[arguments.external]:
        if arguments.dry_run and not arguments.external_embeddings:  # of the teacher's size, which is not trained
            vectors["collaborative"] = torch.zeros(dataset.num_items, SASRecConfig().hidden_size)
        else:
            file = arguments.external_embeddings
            if not file:  # SASRec is trained as the options say
                beside = Path(output_dir).resolve()
                folder = Path(arguments.teacher_dir or beside.with_name(f"{beside.name}-teacher"))
                reuse = {"resume": arguments.resume, "other_data": arguments.other_data}
                file = train_teacher(arguments, dataset, folder, arguments.teacher_options, **reuse)
            vectors["collaborative"] = load_item_embeddings(file, dataset, split, other_data=arguments.other_data)
    return {kind: torch.as_tensor(value) for kind, value in vectors.items()}


def galrec_from_backbone(
    arguments: GALRecArguments,
    model_config: ModelConfig,
    training: GALRecTrainingConfig,
    dataset: RecDataset,
    split: RecSplit,
) -> GALRecRecommender:
    """A GAL-Rec to be trained, as the options say."""
    vectors = external_item_vectors(arguments, dataset, training.output_dir)
    with naming("model_options"):  # before anything is loaded: whether the values are such
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
