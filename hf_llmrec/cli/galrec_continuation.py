"""Continues training a saved GAL-Rec: what is kept, what may change, and what is refused."""

from __future__ import annotations

import logging
from typing import cast

from transformers import AutoConfig
from trl import ModelConfig  # pyright: ignore[reportPrivateImportUsage]  # trl exports it lazily

from ..data.interactions import RecDataset
from ..data.recommender_folder import ItemCatalog, load_settings
from ..data.splits import RecSplit
from ..methods.galrec.configuration_galrec import GALRecConfig
from ..methods.galrec.continuing import check_catalog, check_item_vectors
from ..methods.galrec.modeling_galrec import GALRecForCausalLM
from ..methods.galrec.prompt import GALRecLayout, GALRecPrompt
from ..methods.galrec.recommender import GALRecRecommender
from ..methods.galrec.trainer_config import GALRecTrainingConfig
from ..training.load_backbone import load_backbone
from .data_checks import check_training_data
from .galrec_options import EXTERNAL, GALRecArguments

logger = logging.getLogger("hf_llmrec")
# Configuration fields that matter in training only: no weight depends on them.
_ADJUSTABLE = ("external_dropout", "embedding_dropout", "rec_dropout", "rec_weight", "rec_loss", "num_negatives")


def continue_galrec(
    arguments: GALRecArguments,
    model_config: ModelConfig,
    training: GALRecTrainingConfig,
    dataset: RecDataset,
    split: RecSplit,
) -> GALRecRecommender | None:
    """Open the saved GAL-Rec of ``--model_name_or_path`` for further training.

    Everything learned is kept: mapping layers, item vectors, heads. The items' external embeddings are those of the
    saved model; no teacher is trained. Prompt options that are not set are the model's.

    Args:
        arguments: of `train galrec`.
        model_config: names the model.
        training: options of the trainer.
        dataset: what to train on.
        split: what is held out.

    Returns:
        the recommender; ``None`` if the option is not set or names a backbone, not a GAL-Rec.

    Raises:
        ValueError: other data or another split (unless ``--other_data`` is set), or another catalogue, prompt, kind of
            external embeddings or configuration than the model's; says what differs.
    """
    name = model_config.model_name_or_path
    if not name:
        return None
    source = {"revision": model_config.model_revision}
    config = AutoConfig.from_pretrained(name, trust_remote_code=training.trust_remote_code, **source)
    if config.model_type != GALRecConfig.model_type:
        return None
    config = cast(GALRecConfig, config)  # or the repository's own copy of that class
    check_catalog(name, ItemCatalog.load(name, **source).item_ids, dataset)
    check_training_data(name, arguments, dataset, split, **source)
    prompt = GALRecPrompt(**load_settings(name, **source)["prompt"])
    differences = _differences(arguments, training, config, prompt)
    if differences:
        raise ValueError(
            f"{name} cannot be trained further with other options than its own: {'; '.join(differences)}. Give its "
            "options, or train from its backbone"
        )
    fields = {name: value for name, value in arguments.model_options.items() if name in _ADJUSTABLE}
    options = {**arguments.loading(model_config, training), **fields}
    loaded = load_backbone(arguments.source(model_config), texts=list, max_length=prompt.max_length, **options)
    model = cast(GALRecForCausalLM, loaded.model)  # as its configuration says
    if not arguments.dry_run:
        files = {"text": arguments.text_embeddings, "collaborative": arguments.external_embeddings}
        check_item_vectors(name, model, files, dataset, split, other_data=arguments.other_data)
    logger.info("going on from %s: its item vectors, heads and layers stay as learned", name)
    tokenizer = loaded.tokenizer
    layout = GALRecLayout(prompt, model.config, tokenizer, dataset.titles)
    catalog = ItemCatalog.of_dataset(dataset)
    return GALRecRecommender(model, layout, catalog, tokenizer=tokenizer, include_graph=arguments.include_graph)


def _differences(
    arguments: GALRecArguments, training: GALRecTrainingConfig, config: GALRecConfig, prompt: GALRecPrompt
) -> list[str]:
    """The options that differ from the saved model's, each with both values."""
    saved, given = prompt.to_dict(), arguments.prompt(training)
    # The text of the chat template is no option: it stays as it was when the model was trained.
    names = {"chat": "use_chat_template"}
    pairs = [(f"--{names.get(field, field)}", saved[field], value) for field, value in given.items()]
    pairs = [(option, before, list(value) if option == "--title_hops" else value) for option, before, value in pairs]
    kinds = {tuple(sorted(kinds)): choice for choice, kinds in EXTERNAL.items()}
    pairs.append(("--external", kinds.get(tuple(sorted(config.external_sizes or {}))), arguments.external))
    for option, value in arguments.model_options.items():
        if option not in _ADJUSTABLE:
            pairs.append((f"{option} in --model_options", getattr(config, option), value))
    return [f"{option} was {before}, is {value}" for option, before, value in pairs if before != value]
