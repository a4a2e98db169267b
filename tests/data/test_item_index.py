import dataclasses
import json
import logging

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hf_llmrec.data.item_index import ItemIndex, catalog_fingerprint, index_token

PUBLIC = {"0": ["<a_1>", "<b_0>"], "7": ["<a_0>", "<b_2>"], "x": ["<a_1>", "<b_0>"]}


def index(**changes) -> ItemIndex:
    values = dict(item_ids=["x", "y"], codes=np.array([[0, 1], [1, 2]]), codebook_sizes=(2, 3))
    return ItemIndex(**{**values, **changes})


BOOKS = [np.eye(2, dtype=np.float32), np.ones((3, 2), dtype=np.float32)]


def test_save_and_load(tmp_path):
    books = BOOKS
    index(codebooks=books, metadata={"seed": 1}).save_pretrained(tmp_path)
    again = ItemIndex.from_pretrained(tmp_path)
    assert again.item_ids == ["x", "y"] and again.codes.tolist() == [[0, 1], [1, 2]] and again.metadata == {"seed": 1}
    assert all(np.array_equal(a, b) for a, b in zip(again.codebooks, books, strict=True))


def test_tokens():
    assert index_token(1, 12) == "<b_12>"
    assert index().tokens() == ["<a_0>", "<a_1>", "<b_0>", "<b_1>", "<b_2>"]
    assert index().item_tokens(1) == ["<a_1>", "<b_2>"]


def test_the_public_format_round_trips_and_reports_collisions(tmp_path, caplog):
    (tmp_path / "x.index.json").write_text(json.dumps(PUBLIC))
    with caplog.at_level(logging.WARNING):
        read = ItemIndex.from_json(tmp_path / "x.index.json")
    assert read.item_ids == ["0", "7", "x"] and read.codebook_sizes == (2, 3)
    assert read.collisions() == 2 and not read.is_unique and "2 of 3" in caplog.text
    read.to_json(tmp_path / "y.index.json")
    assert json.loads((tmp_path / "y.index.json").read_text()) == PUBLIC


@pytest.mark.parametrize(
    "entry", [[], ["<a_1>", f"<b_{2**40}>"], ["<a_1>"], ["<b_0>", "<a_1>"], ["<a_1>", "b"], "<a_1>", ["<a_1>", 3]]
)
def test_malformed_entries_name_file_and_item(tmp_path, entry):
    (tmp_path / "x.index.json").write_text(json.dumps({"ok": ["<a_0>", "<b_0>"], "bad": entry}))
    with pytest.raises(ValueError, match=r"x\.index\.json: item 'bad'"):
        ItemIndex.from_json(tmp_path / "x.index.json")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"{", "not valid JSON"),
        (b'{"\xff": []}', "not valid JSON"),
        (b'{"x": ["<a_0>"], "x": ["<a_1>"]}', "'x' occurs twice"),
        (b"[]", "expected a JSON object"),
        (b'{"x": []}', "item 'x'"),
    ],
)
def test_files_that_are_no_index_are_named(tmp_path, content, message):
    (tmp_path / "x.index.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"x\.index\.json: .*{message}"):
        ItemIndex.from_json(tmp_path / "x.index.json")


def test_codebooks_of_another_index_are_refused(tmp_path):
    index(codebooks=BOOKS).save_pretrained(tmp_path)
    file = tmp_path / "item_index.safetensors"
    good = load_file(file)
    fingerprint = {"catalog_fingerprint": index().fingerprint}
    cases = [
        (good, {"catalog_fingerprint": "other"}, "another catalogue"),
        ({"codebook.0": good["codebook.0"]}, fingerprint, "expected"),
        ({**good, "codebook.0": good["codebook.0"][1:]}, fingerprint, "codebook of level 0"),
    ]
    for tensors, metadata, message in cases:
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, file, metadata=metadata)
        with pytest.raises(ValueError, match=rf"item_index\.safetensors: .*{message}"):
            ItemIndex.from_pretrained(tmp_path)
    file.write_bytes(b"junk" * 9)
    with pytest.raises(ValueError, match=r"item_index\.safetensors"):
        ItemIndex.from_pretrained(tmp_path)


def test_saved_files_are_readable_by_others(tmp_path):
    index(codebooks=BOOKS).save_pretrained(tmp_path)
    plain = tmp_path / "plain"
    plain.touch()
    assert {file.stat().st_mode for file in tmp_path.iterdir()} == {plain.stat().st_mode}


def test_tampered_ids_do_not_match_the_fingerprint(tmp_path):
    index().save_pretrained(tmp_path)
    file = tmp_path / "item_index.json"
    file.write_text(file.read_text().replace('"x"', '"z"'))
    with pytest.raises(ValueError, match="fingerprint"):
        ItemIndex.from_pretrained(tmp_path)


def test_fingerprints_tell_lists_apart():
    assert catalog_fingerprint(["ab", "c"]) != catalog_fingerprint(["a", "bc"]) != catalog_fingerprint(["c", "ab"])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"item_ids": ["x", "x"]}, "'x' occurs more than once"),
        ({"codes": np.array([[0, 1], [1, 3]])}, "'y': code 3 of level 1"),
        ({"codes": np.array([[0, 1]])}, "codes must be"),
        ({"codebooks": [np.eye(2), np.eye(2)]}, "codebook of level 1"),
    ],
)
def test_bad_indices(changes, message):
    with pytest.raises(ValueError, match=message):
        index(**changes)


def test_a_folder_without_an_index(tmp_path):
    with pytest.raises(FileNotFoundError, match="item_index.json"):
        ItemIndex.from_pretrained(tmp_path)


def test_codewords_of_an_earlier_index_do_not_stay_beside_a_later_one(index, tmp_path):
    index.save_pretrained(tmp_path)
    assert (tmp_path / "item_index.safetensors").exists()
    dataclasses.replace(index, codebooks=None).save_pretrained(tmp_path)
    assert not (tmp_path / "item_index.safetensors").exists()
    assert ItemIndex.from_pretrained(tmp_path).codebooks is None
