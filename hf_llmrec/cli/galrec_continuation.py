"""``train galrec --model_name_or_path`` of a saved GAL-Rec: what stays, what may change, and what is refused."""

from __future__ import annotations

import logging

from transformers import AutoConfig
from trl import ModelConfig

from ..data.interactions import RecDataset
from ..data.recommender_folder import ItemCatalog, load_settings
from ..data.splits import RecSplit
from ..methods.galrec.configuration_galrec import GALRecConfig
from ..methods.galrec.continuing import check_catalog, check_item_vectors
from ..methods.galrec.prompt import GALRecLayout, GALRecPrompt
from ..methods.galrec.recommender import GALRecRecommender
from ..methods.galrec.trainer_config import GALRecTrainingConfig
from ..training.load_backbone import load_backbone
from .case_options import check_training_data
from .galrec_options import EXTERNAL, GALRecArguments

logger = logging.getLogger("hf_llmrec")
# Fields of the configuration that act in training only: no weight depends on them.
_ADJUSTABLE = ("external_dropout", "embedding_dropout", "rec_dropout", "rec_weight", "rec_loss", "num_negatives")


def continue_galrec(
    arguments: GALRecArguments,
    model_config: ModelConfig,
    training: GALRecTrainingConfig,
    dataset: RecDataset,
    split: RecSplit,
) -> GALRecRecommender | None:
    """The recommender of ``--model_name_or_path`` if that is a saved GAL-Rec; ``None``: a backbone, or none.

    Everything learned stays: mapping layers, item vectors, heads. The items' external embeddings are those of the saved
    model; no teacher is trained. Options of the prompt that nobody set are the model's.

    Raises:
        ValueError: other data or another split (unless ``--other_data`` is set), another catalogue, prompt, kind of
            external embeddings or configuration than the model's; names what differs.
    """
    name = model_config.model_name_or_path
    if not name:
        return None
    source = {"revision": model_config.model_revision}
    config = AutoConfig.from_pretrained(name, trust_remote_code=training.trust_remote_code, **source)
    if config.model_type != GALRecConfig.model_type:
        return None
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
    found = load_backbone(arguments.source(model_config), texts=list, max_length=prompt.max_length, **options)
    if not arguments.dry_run:
        files = {"text": arguments.text_embeddings, "collaborative": arguments.external_embeddings}
        check_item_vectors(name, found.model, files, dataset, split, other_data=arguments.other_data)
    logger.info("going on from %s: its item vectors, heads and layers stay as learned", name)
    layout = GALRecLayout(prompt, found.model.config, found.tokenizer, dataset.titles)
    kept = {"tokenizer": found.tokenizer, "include_graph": arguments.include_graph}
    return GALRecRecommender(found.model, layout, ItemCatalog.of_dataset(dataset), **kept)


def _differences(
    arguments: GALRecArguments, training: GALRecTrainingConfig, config: GALRecConfig, prompt: GALRecPrompt
) -> list[str]:
    """What was asked for and is not as the saved model has it, by option."""
    was, now = prompt.to_dict(), arguments.prompt(training)
    # What the chat template writes is no option: it stays as it was written when the model was trained.
    names = {"chat": "use_chat_template"}
    pairs = [(f"--{names.get(field, field)}", was[field], value) for field, value in now.items()]
    pairs = [(option, before, list(value) if option == "--title_hops" else value) for option, before, value in pairs]
    kinds = {tuple(sorted(kinds)): choice for choice, kinds in EXTERNAL.items()}
    pairs.append(("--external", kinds.get(tuple(sorted(config.external_sizes))), arguments.external))
    for option, value in arguments.model_options.items():
        if option not in _ADJUSTABLE:
            pairs.append((f"{option} in --model_options", getattr(config, option), value))
    return [f"{option} was {before}, is {value}" for option, before, value in pairs if before != value]
