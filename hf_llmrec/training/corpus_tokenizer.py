"""A tokenizer trained on the catalogue's own texts, for backbones that are trained from scratch."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from ..prompting.segments import valid_unicode

_STYLES: dict[str, dict[str, str]] = {
    "llama": {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"},
    "gpt2": {
        "unk_token": "<|endoftext|>",
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|pad|>",
    },
}


def train_corpus_tokenizer(
    texts: Iterable[str], vocab_size: int = 4000, style: str = "llama"
) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer. Its 256 byte tokens spell any string, so that no text has unknown tokens.

    Args:
        texts: training texts; the same texts in the same order give the same tokenizer.
        vocab_size: maximum number of tokens, special ones included; a small corpus gives fewer.
        style: names of the special tokens: ``llama`` (``<s>``, ``</s>``, ``<unk>``, ``<pad>``, and ``<s>`` begins
            every encoded string) or ``gpt2`` (``<|endoftext|>``, ``<|pad|>``; strings begin without a special token).

    Returns:
        A stock tokenizer with bos, eos, pad and unknown token; special tokens have the first ids.

    Raises:
        ValueError: unknown style, or a ``vocab_size`` too small for the byte and special tokens.
    """
    if style not in _STYLES:
        raise ValueError(f"style must be one of {sorted(_STYLES)}, got {style!r}")
    names = _STYLES[style]
    special = list(dict.fromkeys(names.values()))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    least = len(special) + len(alphabet)
    if vocab_size < least:
        raise ValueError(f"vocab_size must be at least {least} (256 bytes and special tokens), got {vocab_size}")
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=special,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    backend.train_from_iterator((valid_unicode(text) for text in texts), trainer)
    if style == "llama":
        bos = names["bos_token"]
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, backend.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, model_input_names=["input_ids", "attention_mask"], padding_side="left", **names
    )
