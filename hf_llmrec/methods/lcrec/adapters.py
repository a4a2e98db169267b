"""LoRA for LC-Rec: adapters, and the training of the index tokens' embedding rows, which adapters do not cover."""

from __future__ import annotations

from peft import LoraConfig, PeftConfig
from transformers import PreTrainedModel

from .tokenization_lcrec import LCRecTokenizer

TRAIN_INDEX_ROWS = ("rows", "all", "none")


def with_index_rows(
    config: LoraConfig, model: PreTrainedModel, tokenizer: LCRecTokenizer, train: str = "rows"
) -> LoraConfig:
    """Add the embedding rows of the index tokens to the options of adapters.

    Args:
        config: the options of the adapters; ``trainable_token_indices`` or ``modules_to_save`` are set in place.
        model: the language model, such as ``recommender.model``.
        tokenizer: the tokenizer with the index tokens, such as ``recommender.tokenizer``.
        train: what is trained beside the adapters: ``rows``, only the embedding rows of the index tokens; ``all``, the
            embedding matrices with all rows; ``none``, neither: index tokens keep their initial rows.

    Returns:
        ``config``, for ``LCRecTrainer(..., peft_config=...)``.

    Raises:
        ValueError: ``train`` is none of these.
    """
    if train not in TRAIN_INDEX_ROWS:
        raise ValueError(f"train must be one of {TRAIN_INDEX_ROWS}, got {train!r}")
    if train == "none":
        return config
    matrices = _embedding_matrices(model)
    config.ensure_weight_tying = model.config.get_text_config().tie_word_embeddings
    if train == "all":
        config.modules_to_save = [*(config.modules_to_save or []), *matrices]
    else:
        rows = sorted(int(i) for ids in tokenizer.level_token_ids for i in ids)
        config.trainable_token_indices = dict.fromkeys(matrices, rows)
    return config


def trains_index_rows(config: PeftConfig, model: PreTrainedModel) -> bool:
    """Whether the embedding rows of the index tokens are trained beside the adapters.

    Args:
        config: the options of the adapters.
        model: the language model.
    """
    trained = {
        *(getattr(config, "modules_to_save", None) or ()),
        *(getattr(config, "trainable_token_indices", None) or ()),
    }
    return not trained.isdisjoint(_embedding_matrices(model))


def _embedding_matrices(model: PreTrainedModel) -> list[str]:
    """Last parts of the names of the embedding matrices: the input's, and the output's unless they are tied."""
    name_of = {module: name.rpartition(".")[2] for name, module in model.named_modules()}
    matrices = [name_of[model.get_input_embeddings()]]
    if not model.config.get_text_config().tie_word_embeddings:
        matrices.append(name_of[model.get_output_embeddings()])
    return matrices
