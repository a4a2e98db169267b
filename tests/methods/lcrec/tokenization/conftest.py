"""Base tokenizers of the four styles, built on the spot, and small indices."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import BertTokenizer, GPT2Tokenizer, LlamaTokenizer
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer

from hf_llmrec.data.item_index import ItemIndex
from hf_llmrec.methods.lcrec.tokenization_lcrec import LCRecTokenizer

STYLES = ("llama", "qwen", "gpt2", "bert")
CORPUS = [
    "Gentle facial cleanser for dry skin, 200 ml; oldest first: predict the next item of this customer's history.",
    "Argan oil shampoo & conditioner (2 pack) - sulfate free! The shop calls one of its items <rose> </rose>.",
    "Matte lipstick No. 12 [red] | long lasting colour, crème für trockene Haut, 日本製 化粧水",
] * 4
# What a base must spell to reach its own special strings letter by letter.
HOSTILE_MERGES = [("<", "/"), ("</", "s"), ("</s", ">")]


def _byte_level_vocab(size: int = 500) -> tuple[dict[str, int], list[tuple[str, str]]]:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    return _parts(backend)


def _parts(backend: Tokenizer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    model = json.loads(backend.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def llama_base() -> LlamaTokenizer:
    """SentencePiece-like BPE with byte fallback, whose merges can spell ``</s>``."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=300, show_progress=False))
    trained, merges = _parts(backend)
    vocab = {
        token: number for number, token in enumerate(["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))])
    }
    hostile = [part for left, right in HOSTILE_MERGES for part in (left, right, left + right)]
    for token in [*trained, "s", *hostile]:
        vocab.setdefault(token, len(vocab))
    merges = [merge for merge in HOSTILE_MERGES if merge not in merges] + merges
    return LlamaTokenizer(vocab=vocab, merges=merges)


def qwen_base() -> Qwen2Tokenizer:
    """NFC and byte-level BPE, special tokens after the vocabulary, no bos."""
    vocab, merges = _byte_level_vocab()
    base = Qwen2Tokenizer(vocab=vocab, merges=merges)
    base.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    base.add_tokens(["<tool_call>"])
    return base


def gpt2_base() -> GPT2Tokenizer:
    """Byte-level BPE with one special token, inside the vocabulary; no padding token."""
    vocab, merges = _byte_level_vocab()
    return GPT2Tokenizer(vocab={**vocab, "<|endoftext|>": len(vocab)}, merges=merges)


def bert_base() -> BertTokenizer:
    """Lower-casing WordPiece with unknown characters, cls and sep."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789<>[]|/_.,;:!?()'\"&-"
    words = ["gentle", "cleanser", "skin", "item", "unk", "sep", "the", "##ing", "##er"]
    tokens = [*special, *letters, *(f"##{letter}" for letter in letters if letter.isalnum()), *words]
    return BertTokenizer(vocab={token: number for number, token in enumerate(tokens)})


BUILDERS = {"llama": llama_base, "qwen": qwen_base, "gpt2": gpt2_base, "bert": bert_base}


@pytest.fixture(scope="session")
def bases():
    return {style: build() for style, build in BUILDERS.items()}


@pytest.fixture(scope="session")
def index() -> ItemIndex:
    """20 items, codes of 3 levels with different sizes, with codewords of two widths."""
    rng = np.random.default_rng(0)
    sizes = (4, 13, 5)
    flat = rng.choice(np.prod(sizes), size=20, replace=False)
    codes = np.stack(np.unravel_index(flat, sizes), axis=1)
    books = [rng.standard_normal((size, 24)).astype(np.float32) for size in sizes]
    return ItemIndex([f"item-{row}" for row in range(20)], codes, sizes, books, {"indexer": "test"})


@pytest.fixture(scope="session")
def titles() -> list[str]:
    return [f"Title {row} <a_1> </s>" for row in range(20)]


@pytest.fixture(scope="session")
def tokenizers(bases, index, titles) -> dict[str, LCRecTokenizer]:
    return {style: LCRecTokenizer.from_base(base, index, titles) for style, base in bases.items()}


@pytest.fixture(params=STYLES, scope="session")
def style(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def base(bases, style):
    return bases[style]


@pytest.fixture(scope="session")
def tokenizer(tokenizers, style) -> LCRecTokenizer:
    return tokenizers[style]


@pytest.fixture(scope="session")
def unigram_backend() -> Tokenizer:
    """A Unigram model with its special tokens among the pieces, where the lattice finds them."""
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("<pad>", 0.0), ("▁", -2.0), ("▁the", -3.0)]
    pieces += [(letter, -5.0) for letter in "abcdefghijklmnopqrstuvwxyz<>/_0123456789"]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(["<unk>", "<s>", "</s>", "<pad>"])
    return backend
