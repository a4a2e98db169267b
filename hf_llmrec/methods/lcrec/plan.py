"""LC-Rec's part of a training plan: sizes of batches, and warnings with remedies."""

from __future__ import annotations

import numpy as np
from peft import PeftConfig
from transformers import PreTrainedModel
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from ...generation.beam_search import decoding
from ...generation.beam_tree import config_obstacle, tree_obstacle
from ...prompting.chat import encode_prompt
from .adapters import trains_index_rows
from .loss import MOST_LOGITS
from .recommender import LCRecRecommender
from .rows import IGNORE
from .tokenization_lcrec import LCRecTokenizer


def lcrec_sizes(batch: list[dict], tokenizer: LCRecTokenizer, index_loss: str) -> tuple[int, int]:
    """Compute the sizes of a batch.

    Args:
        batch: rows of an `LCRecDataset`.
        tokenizer: the tokenizer with the index.
        index_loss: ``level``, ``vocab`` or ``children``, see [`LCRecTrainingConfig`].

    Returns:
        the number of tokens with padding, and of numbers in the logits.
    """
    labels = np.concatenate([row["labels"] for row in batch])
    is_index = np.isin(labels, np.concatenate(tokenizer.level_token_ids))
    codes = max(tokenizer.item_index.codebook_sizes) if index_loss != "vocab" else len(tokenizer)
    text = int(((labels != IGNORE) & ~is_index).sum()) * len(tokenizer)
    tokens = len(batch) * max(len(row["input_ids"]) for row in batch)
    return tokens, min(text, MOST_LOGITS) + min(int(is_index.sum()) * codes, MOST_LOGITS)


def lcrec_warnings(recommender: LCRecRecommender, adapters: PeftConfig | None) -> list[str]:
    """Collect warnings about a training.

    Args:
        recommender: the recommender to be trained.
        adapters: options of adapters, complete, see `with_index_rows`; ``None``: all weights are trained.

    Returns:
        one sentence per warning, with its remedy.
    """
    model, tokenizer, prompt = recommender.model, recommender.tokenizer, recommender.prompt
    levels = tokenizer.item_index.levels
    words = encode_prompt(tokenizer, [], prompt.frame(tokenizer))
    if prompt.form == "packed":
        words = prompt.encode_packed_prefix(tokenizer)
    needed = len(words) + (prompt.max_history + 1) * levels
    max_length = needed if prompt.max_length is None else prompt.max_length
    lines = []
    if needed > max_length:
        lines.append(
            f"a history of --max_history {prompt.max_history} takes {needed} tokens and more, --max_length is "
            f"{max_length}: longer ones lose their oldest items; raise --max_length or lower --max_history"
        )
    if adapters is not None and not trains_index_rows(adapters, model):
        lines.append(
            f"the rows of {sum(tokenizer.item_index.codebook_sizes)} index tokens are not trained: they stay what they "
            "were started as; --train_index_rows rows trains them"
        )
    obstacle = _obstacle_to_tree(model, max_length)
    if obstacle is not None:
        lines.append(
            f"{type(model).__name__}: {obstacle}; items are ranked without the tree of beams, which takes several "
            "times longer: a lower --eval_users shortens evaluations"
        )
    return lines


def _obstacle_to_tree(model: PreTrainedModel, length: int) -> str | None:
    """Like `tree_obstacle`; only the configuration is tested if this process does not hold all weights."""
    if model.device.type == "meta" or is_deepspeed_zero3_enabled():
        return config_obstacle(model, length)
    with decoding(model) as decoder:
        return tree_obstacle(decoder, length)
