"""Text can not become an index or special token, and nothing of it is lost."""

import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hf_llmrec.methods.lcrec.tokenization_lcrec import LCRecTokenizer
from hf_llmrec.prompting.segments import Items, PlainTextEncoder, Text, valid_unicode

DANGEROUS = [
    "<a_0>", "<a_3>", "<b_12>", "<c_4>", "<a_", "12>", "</s>", "<s>", "<unk>", "<pad>", "</", "s>", "<|endoftext|>",
    "<|im_start|>", "<|im_end|>", "<tool_call>", "[SEP]", "[CLS]", "[UNK]", "[MASK]", "[PAD]", "<0x41>", "▁", "Ġ",
    "\x00", "\x1b[0m", "\r\n", "\u200b", "\ufeff", "\u202e", "e\u0301", " ", "  ", "\t", "skin", "the item",
    "化粧水", "😀",
]  # fmt: skip
hostile_text = st.lists(st.one_of(st.sampled_from(DANGEROUS), st.text(max_size=8)), max_size=8).map("".join)
broken_text = st.text(st.characters(categories=["Cs", "Ll", "So"]), max_size=12)
many = settings(max_examples=150)


def forbidden_ids(tokenizer: LCRecTokenizer) -> set[int]:
    """Every special, added and index token; the unknown token is what an unknown character becomes."""
    ids = set(tokenizer.get_added_vocab().values()) | set(tokenizer.all_special_ids)
    return ids - ({tokenizer.unk_token_id} if "[UNK]" in tokenizer.get_vocab() else set())


def base_pipeline(tokenizer, text: str) -> list[int]:
    """What the base's normaliser, pre-tokenizer and model make of a text, by way of their own Python entry points."""
    backend = tokenizer.backend_tokenizer
    if backend.normalizer is not None:
        text = backend.normalizer.normalize_str(text)
    pieces = backend.pre_tokenizer.pre_tokenize_str(text)
    return [token.id for piece, _ in pieces for token in backend.model.tokenize(piece)]


def as_the_base_keeps_it(style: str, text: str) -> str:
    if style == "llama":  # the word-boundary mark is a space, and one space at the start is the tokenizer's own
        return text.replace("▁", " ").removeprefix(" ")
    return unicodedata.normalize("NFC", text) if style == "qwen" else text


@many
@given(text=hostile_text)
def test_text_never_becomes_an_index_or_special_token(tokenizers, text):
    for style, tokenizer in tokenizers.items():
        ids = tokenizer.encode_segments([Text(text)])
        assert forbidden_ids(tokenizer).isdisjoint(ids), style


@many
@given(text=hostile_text)
def test_text_comes_back(tokenizers, text):
    for style in ("llama", "qwen", "gpt2"):
        decoded = tokenizers[style].decode(tokenizers[style].encode_segments([Text(text)]))
        assert decoded == as_the_base_keeps_it(style, text), style


@many
@given(text=hostile_text)
def test_ids_are_those_of_the_bases_own_pipeline(bases, tokenizers, text):
    for style, tokenizer in tokenizers.items():
        expected = base_pipeline(bases[style], text)
        if forbidden_ids(tokenizer).isdisjoint(expected):
            assert tokenizer.encode_segments([Text(text)]) == expected, style


def test_the_bases_own_pipeline_can_reach_a_special_token(bases, tokenizers):
    """Without this the test above would not show that entries are taken out of the model."""
    assert bases["llama"].eos_token_id in base_pipeline(bases["llama"], "x</s>")
    assert tokenizers["llama"].decode(tokenizers["llama"].encode_segments([Text("x</s>")])) == "x</s>"


def test_unknown_characters_and_the_name_of_the_unknown_token(tokenizers):
    bert = tokenizers["bert"]
    assert bert.encode_segments([Text("skin 化")])[-1] == bert.unk_token_id
    assert bert.unk_token_id not in bert.encode_segments([Text("[UNK] [unk] <a_12> [SEP]")])


@many
@given(text=broken_text)
def test_lone_surrogates_become_the_replacement_character(tokenizers, text):
    expected = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert valid_unicode(text) == expected
    assert tokenizers["gpt2"].decode(tokenizers["gpt2"].encode_segments([Text(text)])) == expected
    for tokenizer in tokenizers.values():
        assert tokenizer.encode_segments([Text(text)]) == tokenizer.encode_segments([Text(expected)])


def test_a_surrogate_pair_is_its_character():
    assert valid_unicode("a\ud83d\ude00\ud800b") == "a😀\ufffdb"


segment_lists = st.lists(
    st.one_of(hostile_text.map(Text), st.lists(st.integers(0, 19), max_size=3).map(Items)), max_size=6
)


@many
@given(segments=segment_lists)
def test_concatenation(tokenizers, segments):
    """Item tokens appear exactly where items are; texts between them are encoded as one, whatever their pieces."""
    for style, tokenizer in tokenizers.items():
        index_ids = set(tokenizer.item_token_ids.ravel().tolist())
        expected, texts, first = [], "", True
        for segment in [*segments, Items([])]:
            if isinstance(segment, Text):
                texts += segment.text
            elif len(segment.rows):
                expected += tokenizer.text_encoder.encode(texts, at_start=first)
                expected += [int(i) for row in segment.rows for i in tokenizer.item_token_ids[row]]
                texts, first = "", False
        expected += tokenizer.text_encoder.encode(texts, at_start=first)
        ids = tokenizer.encode_segments(segments, add_bos=True, add_eos=True)
        assert ids == [tokenizer.start_token_id, *expected, tokenizer.end_token_id], style
        items = [i for i in ids[1:-1] if i in index_ids]
        rows = [row for segment in segments if isinstance(segment, Items) for row in segment.rows]
        assert items == tokenizer.item_token_ids[rows].ravel().tolist() if rows else not items


@many
@given(pieces=st.lists(hostile_text, max_size=5))
def test_how_a_text_is_cut_leaves_no_trace(tokenizers, pieces):
    for tokenizer in tokenizers.values():
        whole = tokenizer.encode_segments([Text("".join(pieces))])
        assert tokenizer.encode_segments([segment for piece in pieces for segment in (Text(piece), Items([]))]) == whole


@many
@given(segments=segment_lists)
def test_whole_prompts_come_back(tokenizers, index, segments):
    for style in ("llama", "qwen", "gpt2"):
        strings, first = [], True
        for segment in segments:
            if isinstance(segment, Items):
                strings += [token for row in segment.rows for token in index.item_tokens(row)]
                first = first and not len(segment.rows)
            else:
                strings.append(segment.text)
        tokenizer = tokenizers[style]
        decoded = tokenizer.decode(tokenizer.encode_segments(segments))
        if style == "qwen":  # the normal form of a text may depend on its neighbour text, not on items
            assert unicodedata.normalize("NFC", decoded) == unicodedata.normalize("NFC", "".join(strings))
        else:
            assert decoded == as_the_base_keeps_it(style, "".join(strings))


@many
@given(data=st.data())
def test_harmless_prompts_have_the_ids_of_the_stock_string(tokenizers, index, data):
    text = st.text("abc, .;\n'ñ日<>[]", max_size=10)
    parts = data.draw(st.lists(st.one_of(text, st.integers(0, 19)), max_size=6))
    segments = [Text(part) if isinstance(part, str) else Items(np.array([part])) for part in parts]
    string = "".join(part if isinstance(part, str) else "".join(index.item_tokens(part)) for part in parts)
    for style, tokenizer in tokenizers.items():
        assert tokenizer.encode_segments(segments) == tokenizer(string, add_special_tokens=False)["input_ids"], style


@settings(max_examples=50)
@given(texts=st.lists(hostile_text, max_size=6))
def test_batches_equal_single_texts(tokenizers, texts):
    for tokenizer in tokenizers.values():
        expected = [tokenizer.encode_segments([Text(text)]) for text in texts]
        assert tokenizer.encode_texts([*texts, *texts]) == expected + expected


def test_returned_lists_are_the_callers_own(tokenizer):
    tokenizer.encode_segments([Text("the item")]).append(-1)
    tokenizer.text_encoder.encode("the item").append(-1)
    first, second = tokenizer.encode_texts(["the item", "the item"])
    first.append(-1)
    assert -1 not in tokenizer.encode_segments([Text("the item")]) and -1 not in second


def test_errors(tokenizer):
    with pytest.raises(TypeError, match="Text or Items, got str"):
        tokenizer.encode_segments(["<a_0>"])
    with pytest.raises(ValueError, match="item row 20 is not in the catalogue of 20 items"):
        tokenizer.encode_segments([Items([3, 20])])
    with pytest.raises(ValueError, match="item row -1"):
        tokenizer.encode_segments([Items([-1])])
    with pytest.raises(ValueError, match="integers"):
        tokenizer.encode_segments([Items([0.5])])


# -- models that hold their special strings as ordinary entries --------------------------------------------------------


def test_unigram_pieces_that_are_special(unigram_backend):
    text = "the</s>end <s> <pad>"
    reachable = base_pipeline(PreTrainedTokenizerFast(tokenizer_object=unigram_backend), text)
    assert {1, 2, 3} <= set(reachable)
    encoder = PlainTextEncoder(unigram_backend)
    ids = encoder.encode(text)
    assert {0, 1, 2, 3}.isdisjoint(ids)
    assert unigram_backend.decode(ids, skip_special_tokens=False) == text
    assert encoder.encode("é") == [4, 0]  # unknown to the base, and still unknown


@pytest.mark.parametrize("model", [models.WordPiece, models.WordLevel])
def test_words_that_are_special(model):
    vocab = {"[UNK]": 0, "[SEP]": 1, "skin": 2, "[": 3, "##SEP": 4, "##]": 5, "##UNK": 6}
    backend = Tokenizer(model(vocab, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(["[UNK]", "[SEP]"])
    assert 1 in base_pipeline(PreTrainedTokenizerFast(tokenizer_object=backend), "skin [SEP]")
    ids = PlainTextEncoder(backend).encode("skin [SEP] [UNK] other")
    assert ids == ([2, 3, 4, 5, 3, 6, 5, 0] if model is models.WordPiece else [2, 0, 0, 0])


def test_bpe_that_looks_whole_words_up():
    vocab = {letter: number for number, letter in enumerate("</s>e")} | {"<end>": 9, "<un>": 10}
    backend = Tokenizer(models.BPE(vocab, [], unk_token="<un>", ignore_merges=True))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(["<end>"])
    assert base_pipeline(PreTrainedTokenizerFast(tokenizer_object=backend), "<end>") == [9]
    assert 9 not in PlainTextEncoder(backend).encode("<end>")
    assert 9 not in PlainTextEncoder(backend, ["<un>"]).encode("<end> s")
    assert PlainTextEncoder(backend).encode("s é") == [2, 10]


def test_white_space_runs_stay_and_markup_goes():
    vocab = {"\n": 0, "\n\n": 1, "<": 2, "b": 3, ">": 4, "<b": 5, "<b>": 6}
    backend = Tokenizer(models.BPE(vocab, [("\n", "\n"), ("<", "b"), ("<b", ">")]))
    backend.add_tokens(["\n\n", "<b>"])
    assert PlainTextEncoder(backend).encode("\n\n<b>") == [1, 5, 4]


def test_byte_tokens_survive_being_marked_special(bases):
    llama = bases["llama"]
    marked = Tokenizer.from_str(llama.backend_tokenizer.to_str())
    marked.add_special_tokens([f"<0x{byte:02X}>" for byte in range(256)])
    encoder = PlainTextEncoder(marked)
    assert encoder.encode("😀") == base_pipeline(llama, "😀")
    assert encoder.encode("<0x41>") == base_pipeline(llama, "<0x41>")


def test_an_unknown_kind_of_model_is_refused(unigram_backend):
    class Odd:
        def to_str(self):
            return json.dumps({**json.loads(unigram_backend.to_str()), "model": {"type": "Odd"}})

    with pytest.raises(ValueError, match="'Odd' is not supported"):
        PlainTextEncoder(Odd())


def test_the_cache_stays_bounded(tokenizers, monkeypatch):
    monkeypatch.setattr("hf_llmrec.prompting.segments._CACHE_ENTRIES", 10)
    encoder = PlainTextEncoder(tokenizers["gpt2"].backend_tokenizer)
    for number in range(35):
        assert encoder.encode(f"item {number}") == tokenizers["gpt2"].encode_segments([Text(f"item {number}")])
    assert len(encoder._cache) <= 10
