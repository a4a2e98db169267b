"""What LC-Rec adds to the plan of a training: sizes of its batches, and warnings with their remedies."""

from __future__ import annotations

import numpy as np
from peft import PeftConfig
from transformers import PreTrainedModel
from transformers.integrations import is_deepspeed_zero3_enabled

from ...generation.beam_search import decoding
from ...generation.beam_tree import config_obstacle, tree_obstacle
from ...prompting.chat import encode_prompt
from .loss import MOST_LOGITS
from .recommender import LCRecRecommender
from .rows import IGNORE
from .tokenization_lcrec import LCRecTokenizer


def lcrec_sizes(batch: list[dict], tokenizer: LCRecTokenizer, index_loss: str) -> tuple[int, int]:
    """(tokens with padding, numbers in the logits) of a batch of `LCRecDataset`."""
    labels = np.concatenate([row["labels"] for row in batch])
    is_index = np.isin(labels, np.concatenate(tokenizer.level_token_ids))
    codes = max(tokenizer.item_index.codebook_sizes) if index_loss == "level" else len(tokenizer)
    text = int(((labels != IGNORE) & ~is_index).sum()) * len(tokenizer)
    tokens = len(batch) * max(len(row["input_ids"]) for row in batch)
    return tokens, min(text, MOST_LOGITS) + min(int(is_index.sum()) * codes, MOST_LOGITS)


def lcrec_warnings(recommender: LCRecRecommender, adapters: PeftConfig | None, train_index_rows: str) -> list[str]:
    """What will not be as somebody may expect."""
    model, tokenizer, prompt = recommender.model, recommender.tokenizer, recommender.prompt
    levels = tokenizer.item_index.levels
    words = encode_prompt(tokenizer, [], prompt.frame(tokenizer))
    if prompt.form == "packed":
        words = prompt.encode_packed_prefix(tokenizer)
    needed = len(words) + (prompt.max_history + 1) * levels
    lines = []
    if needed > prompt.max_length:
        lines.append(
            f"a history of --max_history {prompt.max_history} takes {needed} tokens and more, --max_length is "
            f"{prompt.max_length}: longer ones lose their oldest items; raise --max_length or lower --max_history"
        )
    if adapters is not None and train_index_rows == "none":
        lines.append(
            f"the rows of {sum(tokenizer.item_index.codebook_sizes)} index tokens are not trained: they stay what they "
            "were started as; --train_index_rows rows trains them"
        )
    obstacle = _obstacle_to_tree(model, prompt.max_length)
    if obstacle is not None:
        lines.append(
            f"{type(model).__name__}: {obstacle}; items are ranked without the tree of beams, which takes several "
            "times longer: a lower --eval_users shortens evaluations"
        )
    return lines


def _obstacle_to_tree(model: PreTrainedModel, length: int) -> str | None:
    """As `tree_obstacle`; of a model without all its weights here, as far as its configuration tells."""
    if model.device.type == "meta" or is_deepspeed_zero3_enabled():
        return config_obstacle(model, length)
    with decoding(model) as plain:
        return tree_obstacle(plain, length)
