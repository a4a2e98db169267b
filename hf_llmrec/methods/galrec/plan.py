"""GAL-Rec's part of a training plan: the sizes of its batches, and warnings with their remedies."""

from __future__ import annotations

import numpy as np

from ...prompting.item_sequences import IGNORE
from .collator import GALRecCollator
from .configuration_galrec import GALRecConfig
from .prompt import GALRecLayout


def galrec_sizes(batch: list[dict], config: GALRecConfig) -> tuple[int, int]:
    """Sizes of a batch, from which its memory is estimated.

    Args:
        batch: rows of `GALRecDataset`.
        config: of the model.

    Returns:
        The number of tokens, with padding, that are read with gradient, and the number of scores of L_rec.
    """
    collated = GALRecCollator()(batch)
    tokens, targets = collated["input_ids"].numel(), int((collated["labels"] != IGNORE).sum())
    if "segments" in collated:
        own, item = collated["segments"]["own_ids"], collated["segments"]["item_ids"]
        tokens += (len(own) + len(item)) * max(own.shape[1], item.shape[1])
    return tokens, targets * (config.num_items if config.rec_loss == "full_softmax" else config.num_negatives)


def galrec_warnings(layout: GALRecLayout) -> list[str]:
    """Warnings about sequences that will be cut.

    Args:
        layout: of the recommender that is trained.

    Returns:
        Messages; empty if every sequence fits.
    """
    prompt = layout.prompt
    longest = len(layout.user_sequence(np.zeros(0, dtype=np.int64)))
    per_item = 1 + (prompt.max_title_tokens if 1 in prompt.title_hops else 0)
    needed = longest + prompt.max_history * per_item
    if needed <= prompt.max_length:
        return []
    return [
        f"a history of --max_history {prompt.max_history} may take {needed} tokens, --max_length is "
        f"{prompt.max_length}: longer ones lose their oldest items; raise --max_length or lower --max_history"
    ]
