"""What GAL-Rec adds to the plan of a training: sizes of its batches, and warnings with their remedies."""

from __future__ import annotations

import numpy as np

from ...prompting.item_sequences import IGNORE
from .collator import GALRecCollator
from .configuration_galrec import GALRecConfig
from .prompt import GALRecLayout


def galrec_sizes(batch: list[dict], config: GALRecConfig) -> tuple[int, int]:
    """(tokens with padding that are read with gradient, numbers in the scores of L_rec) of `GALRecDataset`."""
    found = GALRecCollator()(batch)
    tokens, targets = found["input_ids"].numel(), int((found["labels"] != IGNORE).sum())
    if "segments" in found:
        own, item = found["segments"]["own_ids"], found["segments"]["item_ids"]
        tokens += (len(own) + len(item)) * max(own.shape[1], item.shape[1])
    return tokens, targets * (config.num_items if config.rec_loss == "full_softmax" else config.num_negatives)


def galrec_warnings(layout: GALRecLayout) -> list[str]:
    """What will not be as somebody may expect."""
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
