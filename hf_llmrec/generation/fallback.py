"""Decoding through plain `generate`, for models whose layers cannot take the tree's mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import LogitsProcessorList, PreTrainedModel

from .item_trie import ItemTrie, pad_result
from .logits_process import ItemLogitsProcessor

FULL_ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
MASKED_KERNELS = {"eager", "sdpa"}


def tree_obstacle(model: PreTrainedModel, length: int) -> str | None:
    """Why the tree of beams is not valid for this model and this many tokens of context; ``None`` when it is."""
    config = model.config.get_text_config()
    kernel = config._attn_implementation
    if kernel not in MASKED_KERNELS:
        return f"attention kernel {kernel!r} takes no 4-D mask"
    if config.is_encoder_decoder:
        return "it is an encoder-decoder model"
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds - FULL_ATTENTION:
        return f"layers of type {sorted(kinds - FULL_ATTENTION)} keep a state, not a cache that beams can share"
    windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    if getattr(config, "use_sliding_window", True) is False:
        windows = windows[1:]
    windows = [window for window in windows if window]
    local = kinds != {"full_attention"} or not getattr(config, "layer_types", None)
    if local and windows and min(windows) < length:
        return f"its attention window ({min(windows)}) is shorter than prompt and index ({length})"
    return None


@torch.no_grad()
def recommend_by_generate(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    trie: ItemTrie,
    level_token_ids: Sequence,
    num_beams: int,
    k: int,
    normalize: str,
    exclude: Sequence[np.ndarray] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`recommend_items` by transformers' own beam search. Same arguments, same result."""
    processor = ItemLogitsProcessor(
        trie, level_token_ids, input_ids.shape[1], normalize, exclude=exclude, num_beams=num_beams
    )
    generated = model.generate(
        input_ids=input_ids,
        attention_mask=attention_mask,
        logits_processor=LogitsProcessorList([processor]),
        num_beams=num_beams,
        num_return_sequences=num_beams,
        max_new_tokens=trie.depth,
        min_new_tokens=None,
        do_sample=False,
        length_penalty=0.0,
        eos_token_id=None,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_scores=True,
        renormalize_logits=False,
    )
    leaves, _ = processor.nodes(generated.sequences)
    leaves, scores = leaves.view(-1, num_beams), generated.sequences_scores.view(-1, num_beams)
    # Beams beyond the valid items are dead: core beam search gives them about -1e9, or lets them repeat.
    dead = (leaves < 0) | (scores < -1e6)
    earlier = (leaves.unsqueeze(1) == leaves.unsqueeze(2)) & ~dead.unsqueeze(1)
    dead = dead | torch.tril(earlier, diagonal=-1).any(-1)
    scores = scores.masked_fill(dead, -torch.inf)
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    leaves = leaves.masked_fill(dead, -1).gather(1, order)
    return pad_result(trie, leaves, scores, k)
