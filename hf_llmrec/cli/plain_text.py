"""What `evaluate --plain_text` measures and prints."""

from __future__ import annotations

from typing import Any

from accelerate import PartialState
from transformers import AutoModelForCausalLM, AutoTokenizer

from ..evaluation.ranker import Ranker
from ..methods.lcrec.plain_text import plain_text_perplexity, read_plain_text
from ..methods.lcrec.recommender import LCRecRecommender
from .evaluate_options import EvaluateArguments


def plain_text_metrics(arguments: EvaluateArguments, ranker: Ranker) -> dict[str, Any]:
    """Perplexity of ``--plain_text`` under a recommender, and under ``--plain_text_base``.

    Args:
        arguments: the command's options.
        ranker: the model.

    Returns:
        the fields of `TextPerplexity`, with ``--plain_text_base`` also ``base``, the same of that model.

    Raises:
        ValueError: the model is no LC-Rec, or the file cannot be read.
    """
    if not isinstance(ranker, LCRecRecommender):
        raise ValueError(f"--plain_text is about LC-Rec models; {arguments.model} is none")
    texts = read_plain_text(str(arguments.plain_text))
    metrics = {arguments.model: plain_text_perplexity(ranker.model, ranker.tokenizer, texts)}
    base = arguments.plain_text_base
    if base:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=ranker.model.dtype)
        model.to(ranker.model.device)  # pyright: ignore[reportArgumentType]  # transformers wraps it
        metrics[base] = plain_text_perplexity(model, AutoTokenizer.from_pretrained(base), texts)
    if PartialState().is_main_process:
        for name, each in metrics.items():
            numbers = f"{each.perplexity:.2f} per token ({each.bits_per_byte:.3f} bits per byte)"
            print(f"perplexity of {arguments.plain_text}: {numbers}, {each.num_tokens} tokens: {name}")
    return metrics[arguments.model].to_dict() | ({"base": metrics[base].to_dict()} if base else {})
