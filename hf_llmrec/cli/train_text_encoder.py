"""``train text_encoder``: train a retriever of item texts, and save it as a recommender folder."""

from __future__ import annotations

import time

from transformers import set_seed

from ..data.embedding_files import load_item_embeddings
from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..methods.text_encoder.recommender import TextEncoderRecommender
from ..methods.text_encoder.trainer import TextEncoderTrainer
from ..methods.text_encoder.trainer_config import TextEncoderTrainingConfig
from .json_options import naming
from .processes import run_command
from .results import changed_options
from .row_run import train_and_save
from .saving import finish_run
from .text_encoder_options import TextEncoderArguments


def make_recommender(
    arguments: TextEncoderArguments, training: TextEncoderTrainingConfig, dataset: RecDataset, split: RecSplit
) -> TextEncoderRecommender:
    """The untrained recommender that the options describe.

    Args:
        arguments: say where text vectors come from.
        training: says whether the sentence-transformers model is fine-tuned.
        dataset: its items are the catalogue.
        split: what the vectors of ``--text_embeddings`` are used with.

    Raises:
        ValueError: ``--finetune`` without a model to fine-tune.
    """
    fields, vectors = dict(arguments.model_options), None
    if training.finetune is not None:
        if arguments.text_embeddings or not arguments.text_encoder:
            raise ValueError(f"--finetune {training.finetune} needs --text_encoder, a sentence-transformers model")
        fields["history_encoder"] = "text"
    if arguments.text_embeddings:
        file, other_data = arguments.text_embeddings, arguments.other_data
        vectors = load_item_embeddings(file, dataset, split, other_data=other_data)
    source = {"text_encoder": arguments.text_encoder or "tfidf", "max_tokens": arguments.max_tokens}
    with naming("model_options"):
        return TextEncoderRecommender.from_dataset(dataset, vectors, **source, **fields)


def run(arguments: TextEncoderArguments, training: TextEncoderTrainingConfig) -> dict[str, float]:
    """Train, save the recommender folder and its report; returns the validation metrics."""
    began = time.perf_counter()
    set_seed(training.seed)
    dataset, split = arguments.load()
    split.require_cases("validation")  # which choose the best model
    recommender = make_recommender(arguments, training, dataset, split)
    saved = train_and_save(TextEncoderTrainer, recommender, arguments, training, dataset, split)
    # Made only now: creating training arguments again resets the devices.
    defaults = TextEncoderTrainingConfig(output_dir=training.output_dir)
    config = {**arguments.changed, **changed_options(training, defaults), "model": "text_encoder"}
    finish_run(training, saved.pushes, saved.metrics, began, {"config": config, **saved.report})
    return saved.metrics


def main(argv: list[str] | None = None) -> int:
    return run_command((TextEncoderArguments, TextEncoderTrainingConfig), run, argv)
