"""LoRA for LC-Rec: adapters, and the embedding rows of the index tokens, which no adapter covers."""

from __future__ import annotations

from peft import LoraConfig
from transformers import PreTrainedModel

from .tokenization_lcrec import LCRecTokenizer

TRAIN_INDEX_ROWS = ("rows", "all", "none")


def with_index_rows(
    config: LoraConfig, model: PreTrainedModel, tokenizer: LCRecTokenizer, train: str = "rows"
) -> LoraConfig:
    """Complete the options of adapters, in place, for an LC-Rec.

    Args:
        config: gets ``trainable_token_indices`` or ``modules_to_save``.
        model: the language model, such as ``recommender.model``.
        tokenizer: has the index tokens, such as ``recommender.tokenizer``.
        train: ``rows`` trains only the index tokens' embedding rows beside the adapters, ``all`` the whole embedding
            matrices, ``none`` neither: index tokens stay what they were started as.

    Returns:
        ``config``, for ``LCRecTrainer(..., peft_config=...)``.

    Raises:
        ValueError: ``train`` is none of these.
    """
    if train not in TRAIN_INDEX_ROWS:
        raise ValueError(f"train must be one of {TRAIN_INDEX_ROWS}, got {train!r}")
    if train == "none":
        return config
    tied = model.config.get_text_config().tie_word_embeddings
    name_of = {module: name.rpartition(".")[2] for name, module in model.named_modules()}
    matrices = [name_of[model.get_input_embeddings()]]
    if not tied:
        matrices.append(name_of[model.get_output_embeddings()])
    config.ensure_weight_tying = tied
    if train == "all":
        config.modules_to_save = [*(config.modules_to_save or []), *matrices]
    else:
        rows = sorted(int(i) for ids in tokenizer.level_token_ids for i in ids)
        config.trainable_token_indices = dict.fromkeys(matrices, rows)
    return config
