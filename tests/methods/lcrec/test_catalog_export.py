"""Exported catalogues allow the same next tokens after every prefix as the trie that this package decodes with."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoTokenizer

import hf_llmrec
from hf_llmrec import ItemIndex, ItemTrie, LCRecTokenizer, export_catalog
from hf_llmrec.cli import main
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer


def of_trie(codes, level_token_ids) -> dict[tuple, set]:
    """The tokens that the trie allows after each prefix of tokens."""
    trie = ItemTrie.from_codes(codes)
    allowed, states = {}, [((), 0)]
    for level in range(trie.depth):
        following = []
        for prefix, node in states:
            child, code, real = trie.children(level, torch.tensor(node))
            pairs = zip(child[real].tolist(), level_token_ids[level][code[real].numpy()].tolist(), strict=True)
            steps = [((*prefix, token), node) for node, token in pairs]
            allowed[prefix] = {path[-1] for path, _ in steps}
            following += steps
        states = following
    return allowed


def of_sequences(sequences) -> dict[tuple, set]:
    allowed: dict[tuple, set] = {}
    for sequence in sequences:
        for length, token in enumerate(sequence):
            allowed.setdefault(tuple(sequence[:length]), set()).add(token)
    return allowed


def of_static(file) -> dict[tuple, set]:
    """Walks the arrays as STATIC does: states of first tokens from the dense table, all others from the matrix."""
    arrays = load_file(file)
    allowed: dict[tuple, set] = {(): set(np.flatnonzero(arrays["start_mask"]).tolist())}
    assert np.array_equal(arrays["start_mask"], arrays["dense_mask"])
    states = [((token,), arrays["dense_states"][token]) for token in sorted(allowed[()])]
    branches = [len(allowed[()])]
    while states:
        following = []
        for prefix, state in states:
            begin, end = arrays["csr_indptr"][state : state + 2]
            rows = arrays["packed_csr"][begin:end].tolist()
            assert rows == sorted(rows)
            allowed[prefix] = {token for token, _ in rows}
            following += [((*prefix, token), after) for token, after in rows if after]
        branches.append(max(len(allowed[prefix]) for prefix, _ in states))
        states = following
    assert arrays["layer_max_branches"].tolist() == branches
    vocab_size = len(arrays["start_mask"])
    assert (arrays["packed_csr"][-vocab_size:] == [vocab_size, 0]).all()
    assert arrays["csr_indptr"][-1] == len(arrays["packed_csr"]) == arrays["csr_indptr"][-2] + vocab_size
    assert not np.diff(arrays["csr_indptr"])[0], "no token follows a whole item"
    return allowed


def flashrec_sequences(file, launch) -> dict[tuple, str]:
    """Token ids as FlashRec computes them, from the keys of the file and the options of the command."""
    words = shlex.split(launch)
    options = dict(zip(words[2::2], words[3::2], strict=True))
    assert options["--sid-vocab-file"] == str(file)
    first, last = map(int, options["--sid-token-range"].split(":"))
    sizes = list(map(int, options["--sid-codebook-sizes"].split(",")))
    assert last - first + 1 == sum(sizes) and int(options["--max-tokens"]) == len(sizes)
    assert options["--sid-boundary-tokens"] == ""
    found = {}
    for key, item in json.loads(Path(file).read_text(encoding="utf-8")).items():
        codes = list(map(int, key.split(",")))
        assert all(code < size for code, size in zip(codes, sizes, strict=True))
        found[tuple(first + sum(sizes[:level]) + code for level, code in enumerate(codes))] = item
    return found


@pytest.fixture
def expected(tokenizer):
    return of_trie(tokenizer.item_index.codes, tokenizer.level_token_ids)


def test_items_as_json(lcrec_folder, tokenizer, expected, tmp_path):
    done = export_catalog(lcrec_folder, tmp_path / "items.json")
    value = json.loads((tmp_path / "items.json").read_text(encoding="utf-8"))
    assert done.files == [tmp_path / "items.json"] and done.launch is None and not done.notes
    assert value["num_items"] == done.num_items == len(value["items"]) == 24 and value["levels"] == 3
    assert of_sequences([item["token_ids"] for item in value["items"]]) == expected
    assert [item["item_id"] for item in value["items"]] == tokenizer.item_index.item_ids
    assert value["catalog_fingerprint"] == tokenizer.item_index.fingerprint
    # A stock tokenizer, which knows nothing of this package, agrees on tokens and ids.
    stock = AutoTokenizer.from_pretrained(lcrec_folder)
    for item in value["items"]:
        assert stock.convert_tokens_to_ids(item["tokens"]) == item["token_ids"]
        assert stock("".join(item["tokens"]), add_special_tokens=False)["input_ids"] == item["token_ids"]


def test_flashrec(lcrec_folder, tokenizer, expected, tmp_path):
    done = export_catalog(lcrec_folder, tmp_path / "a catalogue.json", to="flashrec")
    assert done.launch is not None and shlex.split(done.launch)[:2] == ["flashrec", "--serve"]
    found = flashrec_sequences(tmp_path / "a catalogue.json", done.launch)
    assert of_sequences(found) == expected
    for row, item in enumerate(tokenizer.item_index.item_ids):
        assert found[tuple(tokenizer.item_token_ids[row].tolist())] == item
    assert "--beam-width 12" in done.launch  # of the model's settings
    assert any("Qwen3" in note for note in done.notes) == (read(lcrec_folder, "config.json")["model_type"] != "qwen3")
    assert any("chat template" in note for note in done.notes)


def test_flashrec_has_nothing_to_note_on_a_qwen3_that_was_trained_in_its_chat(lcrec_folder, tmp_path):
    change(lcrec_folder, "config.json", model_type="qwen3")
    settings = read(lcrec_folder, "recommender.json")
    change(lcrec_folder, "recommender.json", prompt={**settings["prompt"], "form": "prefix", "chat": True})
    assert not export_catalog(lcrec_folder, tmp_path / "c.json", to="flashrec").notes


def test_static(lcrec_folder, expected, tmp_path):
    (tmp_path / "static").mkdir()  # an empty folder is no output that could be lost
    done = export_catalog(lcrec_folder, tmp_path / "static", to="static")
    assert sorted(path.name for path in (tmp_path / "static").iterdir()) == ["items.json", "static_index.safetensors"]
    assert done.launch is None and of_static(tmp_path / "static/static_index.safetensors") == expected
    items = read(tmp_path / "static", "items.json")
    assert of_sequences([item["token_ids"] for item in items["items"]]) == expected
    # Masks must be as wide as the logits, which may be more than the tokenizer has.
    change(lcrec_folder, "config.json", vocab_size=items["vocab_size"] + 64)
    export_catalog(lcrec_folder, tmp_path / "padded", to="static")
    assert len(load_file(tmp_path / "padded/static_index.safetensors")["start_mask"]) == items["vocab_size"] + 64
    assert of_static(tmp_path / "padded/static_index.safetensors") == expected


@pytest.fixture
def shuffled(lcrec_folder, index, dataset):
    """The folder, with a tokenizer whose index tokens lie in another order than the codes, as public ones may have."""
    base = train_corpus_tokenizer(dataset.titles, vocab_size=300)
    base.add_tokens([index.tokens()[place] for place in np.random.default_rng(0).permutation(len(index.tokens()))])
    tokenizer = LCRecTokenizer.from_base(base, index, dataset.titles)
    tokenizer.save_pretrained(lcrec_folder)
    return lcrec_folder, of_trie(index.codes, tokenizer.level_token_ids)


def test_tokens_in_any_order(shuffled, tmp_path):
    folder, expected = shuffled
    export_catalog(folder, tmp_path / "static", to="static")
    assert of_static(tmp_path / "static/static_index.safetensors") == expected
    export_catalog(folder, tmp_path / "items.json")
    assert of_sequences([item["token_ids"] for item in read(tmp_path, "items.json")["items"]]) == expected
    with pytest.raises(ValueError, match="FlashRec computes token ids from codes"):
        export_catalog(folder, tmp_path / "c.json", to="flashrec")
    assert not (tmp_path / "c.json").exists()


@pytest.mark.parametrize("to", ["flashrec", "static", "json"])
def test_nothing_is_overwritten(lcrec_folder, tmp_path, to):
    (tmp_path / "out.json").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_text("mine")
    for name in ("out.json", "folder"):
        with pytest.raises(FileExistsError, match=f"{name} exists"):
            export_catalog(lcrec_folder, tmp_path / name, to=to)
    assert (tmp_path / "out.json").read_text() == (tmp_path / "folder/file").read_text() == "mine"


@pytest.mark.parametrize(
    ("to", "output", "message"),
    [("csv", "c.csv", "to must be one of flashrec, static, json"), ("flashrec", "c.txt", "must end in .json")],
)
def test_options_that_cannot_be(lcrec_folder, tmp_path, to, output, message):
    with pytest.raises(ValueError, match=message):
        export_catalog(lcrec_folder, tmp_path / output, to=to)


def test_models_without_an_index(lcrec_folder, recommender_folders, tmp_path):
    with pytest.raises(ValueError, match="'sasrec' has no item index"):
        export_catalog(recommender_folders["sasrec"], tmp_path / "c.json")
    with pytest.raises(FileNotFoundError, match="not a recommender folder"):
        export_catalog(tmp_path, tmp_path / "c.json")
    (lcrec_folder / "item_index.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"item_index\.json"):
        export_catalog(lcrec_folder, tmp_path / "c.json")
    assert not (tmp_path / "c.json").exists()


def test_indices_that_no_engine_can_tell_apart(lcrec_folder, index, tokenizer, tmp_path):
    codes = index.codes.copy()
    codes[3] = codes[8]
    save_index(lcrec_folder, ItemIndex(index.item_ids, codes, index.codebook_sizes))
    with pytest.raises(ValueError, match=r"recommender: 2 items share their index"):
        export_catalog(lcrec_folder, tmp_path / "c.json")
    single = ItemIndex(index.item_ids[:2], np.array([[0], [1]]), (4,))
    save_index(lcrec_folder, single)
    with pytest.raises(ValueError, match="at least 2 tokens"):
        export_catalog(lcrec_folder, tmp_path / "static", to="static")
    change(lcrec_folder, "config.json", vocab_size=3)
    save_index(lcrec_folder, index)
    with pytest.raises(ValueError, match="outside the vocabulary of 3"):
        export_catalog(lcrec_folder, tmp_path / "static", to="static")
    assert not (tmp_path / "static").exists()


def test_the_command(lcrec_folder, tmp_path, capsys):
    words = ["export-catalog", str(lcrec_folder), "--to", "flashrec", "--output", str(tmp_path / "c.json")]
    assert main(words) == 0
    out, err = capsys.readouterr()
    first, launch = out.strip().splitlines()
    assert first == f"24 items -> {tmp_path / 'c.json'}" and "note: FlashRec" in err
    assert len(flashrec_sequences(tmp_path / "c.json", launch)) == 24
    assert main(words) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("hf-llmrec export-catalog: output ")
    assert hf_llmrec.export_catalog is export_catalog


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def change(folder, name, **values):
    (folder / name).write_text(json.dumps({**read(folder, name), **values}))


def save_index(folder, index):
    (folder / "item_index.json").write_text(json.dumps(index.to_dict()))
