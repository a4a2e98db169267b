"""A tokenizer trained on the corpus spells every string."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_llmrec.methods.lcrec.tokenization_lcrec import LCRecTokenizer
from hf_llmrec.prompting.segments import Items, Text
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer

TEXTS = [f"gentle cleanser {number} for dry skin </s>" for number in range(50)]


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def trained(request):
    return train_corpus_tokenizer(TEXTS, vocab_size=400, style=request.param)


@settings(max_examples=200)
@given(text=st.text(max_size=30))
def test_lossless(trained, text):
    ids = trained(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert trained.decode(ids) == text


def test_it_learned_the_corpus(trained):
    assert len(trained) <= 400
    assert len(trained("gentle cleanser", add_special_tokens=False)["input_ids"]) <= 3


def test_special_tokens(trained):
    assert None not in (trained.bos_token_id, trained.eos_token_id, trained.pad_token_id, trained.unk_token_id)
    assert trained.pad_token_id not in (trained.bos_token_id, trained.eos_token_id)
    assert max(trained.all_special_ids) == len(set(trained.all_special_ids)) - 1
    first = trained("skin")["input_ids"][0]
    assert (first == trained.bos_token_id) == (trained.bos_token == "<s>")


def test_training_is_deterministic(trained):
    style = "llama" if trained.bos_token == "<s>" else "gpt2"
    again = train_corpus_tokenizer(iter(TEXTS), vocab_size=400, style=style)
    assert again.backend_tokenizer.to_str() == trained.backend_tokenizer.to_str()


def test_it_extends_and_travels(trained, index, tmp_path):
    tokenizer = LCRecTokenizer.from_base(trained, index)
    tokenizer.save_pretrained(tmp_path)
    again = LCRecTokenizer.from_pretrained(tmp_path)
    segments = [Text("</s>日 dry skin "), Items([2])]
    ids = again.encode_segments(segments, add_bos=True)
    assert ids == tokenizer.encode_segments(segments, add_bos=True)
    assert ids[0] == trained.bos_token_id and ids.count(trained.eos_token_id) == (ids[0] == trained.eos_token_id)
    assert again.item_titles is None


def test_odd_corpora():
    empty = train_corpus_tokenizer([], vocab_size=260)
    assert len(empty) == 260
    assert (
        train_corpus_tokenizer(["", "\ud800 broken", "x" * 5000], vocab_size=270).decode(empty.encode("a")[1:]) == "a"
    )


def test_errors():
    with pytest.raises(ValueError, match="at least 260"):
        train_corpus_tokenizer(TEXTS, vocab_size=259)
    with pytest.raises(ValueError, match="style must be one of"):
        train_corpus_tokenizer(TEXTS, style="t5")
