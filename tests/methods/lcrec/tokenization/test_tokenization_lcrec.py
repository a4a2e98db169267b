"""The vocabulary of items: ids, saving, the stock class."""

import copy
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from tokenizers import AddedToken
from transformers import BertTokenizerLegacy, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config

from hf_llmrec.data.item_index import ItemIndex
from hf_llmrec.methods.lcrec.tokenization_lcrec import LCRecTokenizer
from hf_llmrec.prompting.segments import Items, Text
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer

STRINGS = [
    "<a_1><b_2><c_3>",
    " <a_1> <b_2>\n<c_3>x",
    "Oldest first: <a_0><b_12><c_4>, <a_3><b_0><c_1>. Next one: ",
    "É crème 日本 e\u0301 <A_1> <a_99> <d_0>",
]


def test_index_tokens_come_last_level_by_level(base, tokenizer, index):
    flat = np.concatenate(tokenizer.level_token_ids)
    assert [len(ids) for ids in tokenizer.level_token_ids] == [4, 13, 5]
    assert tokenizer.convert_ids_to_tokens(flat.tolist()) == index.tokens()
    assert flat.tolist() == list(range(len(tokenizer) - 22, len(tokenizer)))
    assert all(ids.dtype == np.int64 for ids in [*tokenizer.level_token_ids, tokenizer.item_token_ids])
    assert tokenizer.convert_ids_to_tokens(tokenizer.item_token_ids[7].tolist()) == index.item_tokens(7)


def test_the_base_is_untouched_and_its_text_ids_stay(base, tokenizer):
    assert "<a_0>" not in base.get_vocab()
    for text in ("Gentle cleanser, 200 ml", "É crème 日本 e\u0301", " x  y\n"):
        assert tokenizer(text)["input_ids"] == base(text)["input_ids"]
    assert tokenizer.model_input_names == base.model_input_names


def test_strings_of_index_tokens_are_parsed_without_anything_between(tokenizer, index):
    rows = [3, 3, 0, 19]
    string = "".join(token for row in rows for token in index.item_tokens(row))
    ids = tokenizer(string, add_special_tokens=False)["input_ids"]
    assert ids == tokenizer.item_token_ids[rows].ravel().tolist()
    assert tokenizer.decode(ids).replace(" ", "") == string
    assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == string


def test_items_to_tokens_and_back(tokenizer, index):
    rows = np.array([[0, 5], [19, 5]], dtype=np.int32)
    ids = tokenizer.items_to_tokens(rows)
    assert ids.shape == (2, 2, 3) and ids.dtype == np.int64
    assert np.array_equal(tokenizer.tokens_to_items(ids), rows)
    assert tokenizer.items_to_tokens([]).shape == (0, 3)
    assert tokenizer.tokens_to_items(np.empty((0, 3), int)).shape == (0,)
    with pytest.raises(ValueError, match="3 levels"):
        tokenizer.tokens_to_items(ids[..., :2])


def test_whatever_is_no_item_gives_minus_one(tokenizer, index):
    items = {tuple(codes): row for row, codes in enumerate(index.codes.tolist())}
    grid = np.stack(np.meshgrid(*tokenizer.level_token_ids, indexing="ij"), axis=-1)
    rows = tokenizer.tokens_to_items(grid)
    for codes in np.ndindex(4, 13, 5):
        assert rows[codes] == items.get(codes, -1)
    good = tokenizer.item_token_ids[0]
    bad = [good[[1, 0, 2]], [0, *good[1:]], [good[0], -1, good[2]], [10**12, *good[1:]], [*good[:2], good[1]]]
    assert tokenizer.tokens_to_items(np.array(bad)).tolist() == [-1] * 5


def test_an_unknown_token_is_not_read_as_the_first_code(bases):
    tokenizer = LCRecTokenizer.from_base(bases["gpt2"], ItemIndex(["x", "y"], [[0, 0], [1, 1]], (2, 2)))
    (a, b), (c, d) = tokenizer.item_token_ids
    wrong = [[5, 5], [a, 5], [5, b], [b, a], [a, a], [a, -1], [c, b], [a, d]]
    assert tokenizer.tokens_to_items(wrong).tolist() == [-1] * 8
    assert tokenizer.tokens_to_items([[a, b], [c, d]]).tolist() == [0, 1]


def test_deep_indices_do_not_overflow(bases):
    rng = np.random.default_rng(1)
    codes = np.unique(rng.integers(0, 200, (500, 12)), axis=0)
    deep = ItemIndex([str(row) for row in range(len(codes))], codes, (200,) * 12)
    tokenizer = LCRecTokenizer.from_base(bases["gpt2"], deep)
    assert np.array_equal(tokenizer.tokens_to_items(tokenizer.item_token_ids), np.arange(len(codes)))


def test_items_that_share_an_index_are_read_as_the_first(bases):
    shared = ItemIndex(["x", "y", "z"], [[1, 0], [0, 0], [1, 0]], (2, 1))
    tokenizer = LCRecTokenizer.from_base(bases["gpt2"], shared)
    assert tokenizer.tokens_to_items(tokenizer.item_token_ids).tolist() == [0, 1, 0]


def test_padding(bases, tokenizers):
    assert bases["gpt2"].pad_token is None
    gpt2 = tokenizers["gpt2"]
    assert gpt2.pad_token == "<pad>" and gpt2.pad_token_id == len(bases["gpt2"]) != gpt2.eos_token_id
    assert tokenizers["bert"].pad_token == "[PAD]" and tokenizers["bert"].pad_token_id == 0
    batch = gpt2(["a", "a b c"], padding=True)
    assert batch["input_ids"][0][0] == gpt2.pad_token_id and batch["attention_mask"][0][0] == 0


def test_a_dormant_padding_token_is_used(index):
    base = train_corpus_tokenizer(["a b"], vocab_size=300)
    base.pad_token = None
    tokenizer = LCRecTokenizer.from_base(base, index)
    assert tokenizer.pad_token_id == base.convert_tokens_to_ids("<pad>") < len(base)


def test_start_and_end_tokens(bases, tokenizers):
    ids = {style: (t.start_token_id, t.end_token_id) for style, t in tokenizers.items()}
    assert ids["llama"] == (1, 2)
    assert ids["bert"] == (bases["bert"].cls_token_id, bases["bert"].sep_token_id)
    assert ids["qwen"] == (bases["qwen"].eos_token_id,) * 2 and bases["qwen"].bos_token is None
    broken = copy.deepcopy(tokenizers["qwen"])
    broken.eos_token = None
    with pytest.raises(ValueError, match="none of eos_token, sep_token"):
        broken.encode_segments([], add_eos=True)


@pytest.fixture(scope="module")
def folders(tokenizers, tmp_path_factory):
    root = tmp_path_factory.mktemp("saved")
    for style, tokenizer in tokenizers.items():
        tokenizer.save_pretrained(root / style)
    # As in a recommender folder: a model's config beside the tokenizer.
    LlamaConfig().save_pretrained(root / "llama")
    Qwen2Config().save_pretrained(root / "qwen")  # AutoTokenizer takes its own class for this type, whatever we saved
    return root


def test_saved_and_reloaded(folders, style, tokenizer, index, titles):
    again = LCRecTokenizer.from_pretrained(folders / style)
    assert again.item_titles == titles
    assert again.item_index.item_ids == index.item_ids
    assert np.array_equal(again.item_index.codes, index.codes)
    assert again.item_index.metadata == index.metadata
    assert np.array_equal(again.item_token_ids, tokenizer.item_token_ids)
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.special_tokens_map == tokenizer.special_tokens_map
    assert again.extra_special_tokens == tokenizer.extra_special_tokens
    assert (again.padding_side, again.model_input_names) == ("left", tokenizer.model_input_names)
    assert again(STRINGS)["input_ids"] == tokenizer(STRINGS)["input_ids"]
    segments = [Text("É </s> <a_1>"), Items([4]), Text(" e\u0301")]
    assert again.encode_segments(segments, add_bos=True) == tokenizer.encode_segments(segments, add_bos=True)
    assert np.array_equal(ItemIndex.from_pretrained(folders / style).codes, index.codes)


def test_saved_config_holds_no_path_and_no_index(folders, style):
    config = json.loads((folders / style / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "LCRecTokenizer" and "auto_map" not in config
    assert not [key for key in config if "file" in key and key != "local_files_only"]
    assert str(folders) not in (folders / style / "tokenizer_config.json").read_text()


def test_saving_again_gives_the_same_files(folders, style, tmp_path):
    LCRecTokenizer.from_pretrained(folders / style).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "item_index.json"):
        assert json.loads((tmp_path / name).read_text()) == json.loads((folders / style / name).read_text())


def test_the_stock_class_in_a_fresh_process_gives_the_same_ids(folders, tokenizers):
    code = (
        "import json, sys\n"
        "from transformers import AutoTokenizer, PreTrainedTokenizerFast\n"
        "root, strings = json.loads(sys.argv[1])\n"
        "out = {s: PreTrainedTokenizerFast.from_pretrained(f'{root}/{s}')(strings)['input_ids']\n"
        "       for s in ('llama', 'qwen', 'gpt2', 'bert')}\n"
        "auto = AutoTokenizer.from_pretrained(f'{root}/llama')\n"
        "out['auto'] = auto(strings)['input_ids']\n"
        "auto_qwen = AutoTokenizer.from_pretrained(f'{root}/qwen')\n"
        "out['auto_qwen'] = [type(auto_qwen).__name__, auto_qwen(strings)['input_ids']]\n"
        "out['pad'] = [auto.padding_side, auto.pad_token_id, auto.model_input_names]\n"
        "assert not any(name.startswith('hf_llmrec') for name in sys.modules)\n"
        "print(json.dumps(out))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, json.dumps([str(folders), STRINGS])], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    stock = json.loads(result.stdout)
    for style, tokenizer in tokenizers.items():
        assert stock[style] == tokenizer(STRINGS)["input_ids"], style
    llama = tokenizers["llama"]
    assert stock["auto"] == llama(STRINGS)["input_ids"]
    assert stock["auto_qwen"] == ["Qwen2Tokenizer", tokenizers["qwen"](STRINGS)["input_ids"]]
    assert stock["pad"] == ["left", llama.pad_token_id, llama.model_input_names]


def test_loaded_by_hub_id(folders, tokenizers, tmp_path):
    """The Hub's cache layout: files of a repository are found through ``vocab_files_names``."""
    repository = tmp_path / "models--me--rec"
    commit = "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots").mkdir()
    (folders / "gpt2").rename(repository / "snapshots" / commit)
    try:
        again = LCRecTokenizer.from_pretrained("me/rec", cache_dir=tmp_path, local_files_only=True)
    finally:
        (repository / "snapshots" / commit).rename(folders / "gpt2")
    assert np.array_equal(again.item_token_ids, tokenizers["gpt2"].item_token_ids)
    assert again.item_titles == tokenizers["gpt2"].item_titles


def test_copies_and_pickles(tokenizer):
    tokenizer.encode_segments([Text("warm")])
    for other in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        segments = [Text("</s>x"), Items([1])]
        assert other.encode_segments(segments) == tokenizer.encode_segments(segments)
        assert other.item_index.item_ids == tokenizer.item_index.item_ids


def test_tokens_added_later_are_out_of_reach_too(bases, index):
    tokenizer = LCRecTokenizer.from_base(bases["llama"], index)
    number = tokenizer.encode_segments([Text("item item")])[0]
    word = tokenizer.convert_ids_to_tokens(number)
    tokenizer.add_special_tokens({"extra_special_tokens": [AddedToken(word, special=True)]})
    assert tokenizer.convert_tokens_to_ids(word) == number
    assert number not in tokenizer.encode_segments([Text("item item")])


def test_index_tokens_of_a_public_checkpoint_keep_their_ids(bases, index):
    public = copy.deepcopy(bases["qwen"])
    public.add_tokens(sorted(index.tokens()[:-1]))
    tokenizer = LCRecTokenizer.from_base(public, index)
    assert tokenizer.level_token_ids[1][10] == public.convert_tokens_to_ids("<b_10>")
    assert tokenizer.level_token_ids[2][4] == len(public)
    assert np.array_equal(tokenizer.tokens_to_items(tokenizer.item_token_ids), np.arange(20))


def test_padding_and_truncation_of_the_bases_last_call_do_not_stay(bases, index):
    base = copy.deepcopy(bases["gpt2"])
    base.pad_token = base.eos_token
    base(["a b c d e f", "a"], padding=True, truncation=True, max_length=2)
    tokenizer = LCRecTokenizer.from_base(base, index)
    assert len(tokenizer("a b c d e f")["input_ids"]) > 2
    assert "max_length" not in tokenizer.init_kwargs


def test_errors(bases, index, titles, tmp_path, folders):
    with pytest.raises(ValueError, match="19 titles for 20 items"):
        LCRecTokenizer.from_base(bases["gpt2"], index, titles[:-1])
    bases["gpt2"].save_pretrained(tmp_path / "plain")
    with pytest.raises(FileNotFoundError, match="plain: there is no item_index.json"):
        LCRecTokenizer.from_pretrained(tmp_path / "plain")
    ItemIndex(["x"], [[30]], (31,)).save_pretrained(tmp_path / "plain")
    with pytest.raises(ValueError, match=r"item_index.json: the tokenizer has no token '<a_0>'"):
        LCRecTokenizer.from_pretrained(tmp_path / "plain")
    vocab = {**bases["gpt2"].get_vocab(), "<a_2>": 438}
    clash = type(bases["gpt2"])(vocab=vocab, merges=[])
    with pytest.raises(ValueError, match="'<a_2>' as an ordinary token"):
        LCRecTokenizer.from_base(clash, index)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    with pytest.raises(ValueError, match="slow tokenizer"):
        LCRecTokenizer.from_base(BertTokenizerLegacy(str(tmp_path / "vocab.txt")), index)


def test_a_broken_title_is_repaired_so_that_it_can_be_saved(bases, index, tmp_path):
    tokenizer = LCRecTokenizer.from_base(bases["gpt2"], index, ["\ud800 x"] * 20)
    tokenizer.save_pretrained(tmp_path)
    assert LCRecTokenizer.from_pretrained(tmp_path).item_titles[0] == "\ufffd x"
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
