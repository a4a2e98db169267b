"""`convert lcrec`: sequences, items and index in the JSON format of LC-Rec and LETTER."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from hf_llmrec.cli import convert
from hf_llmrec.converters.lcrec import LCRecFiles, read_lcrec
from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.data.item_index import ItemIndex
from hf_llmrec.indexing.collisions import resolve_collisions

INTER = {"0": [0, 1, 2, 1], "7": [2, 0, 3]}
ITEM = {
    "0": {"title": "Red pen &amp; case", "description": "", "brand": "A", "categories": "Office, Pens"},
    "1": {"title": "Blue <b>pen</b>", "description": ["Writes.", "Blue ink."], "brand": "A", "categories": ["Pens"]},
    "2": {"title": "Stapler", "description": "Staples paper.", "brand": None, "categories": "Office", "price": "3.00"},
    "3": {"title": "Blue pencil", "description": "Writes, and can be erased."},
    "4": {"title": "Never bought"},
}
INDEX = {
    "3": ["<a_0>", "<b_0>", "<c_2>"],
    "0": ["<a_0>", "<b_1>", "<c_0>"],
    "1": ["<a_0>", "<b_0>", "<c_2>"],
    "2": ["<a_1>", "<b_0>", "<c_1>"],
    "4": ["<a_2>", "<b_1>", "<c_1>"],
}


def write(folder, inter=INTER, item=ITEM, index=INDEX):
    folder.mkdir(exist_ok=True)
    for name, value in {"T.inter.json": inter, "T.item.json": item, "T.index.rq.json": index}.items():
        if value is not None:
            (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))
    return folder


def convert_lcrec(source, output, *options):
    return convert.main(["lcrec", "--input", str(source), "--output_dir", str(output), *options])


@pytest.mark.parametrize("method", ["last_code", "level"])
def test_dataset_and_index(tmp_path, capsys, method):
    assert convert_lcrec(write(tmp_path / "raw"), tmp_path / "data", "--resolve_collisions", method) == 0
    dataset = RecDataset.load(tmp_path / "data")
    assert (dataset.user_ids, dataset.item_ids) == (["0", "7"], ["0", "1", "2", "3", "4"])
    assert dataset.sequence(0).tolist() == [0, 1, 2, 1] and dataset.timestamps is None, "sequences stay as published"
    assert dataset.titles[:2] == ["Red pen & case", "Blue pen"]
    assert dataset.descriptions[1] == "Writes. Blue ink." and dataset.categories[0] == "Office, Pens"
    index = ItemIndex.from_pretrained(tmp_path / "data" / "index")
    assert index.item_ids == dataset.item_ids and index.is_unique and index.fingerprint == dataset.catalog_fingerprint
    given = [index.item_tokens(row)[:3] for row in range(5)]
    if method == "level":
        assert given == [INDEX[item] for item in dataset.item_ids] and index.levels == 4
        assert index.codes[:, 3].tolist() == [0, 0, 0, 1, 0], "the first item of the catalogue keeps its codes"
    else:
        assert index.levels == 3 and [given[row] for row in (0, 1, 2, 4)] == [INDEX[item] for item in "0124"]
        assert given[3][:2] == INDEX["3"][:2] and given[3][2] in ("<c_0>", "<c_1>")
    assert index.metadata["source"] == "T.index.rq.json" and index.metadata["items_moved"] == 1
    said = capsys.readouterr().out
    assert "2 items share their index" in said and "'3' had <a_0> <b_0> <c_2>" in said
    assert "1 items without an interaction" in said and "not used: price" in said


def test_collisions_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"T\.index\.rq\.json: 2 items share .*'3': <a_0>.*--resolve_collisions"):
        convert_lcrec(write(tmp_path / "raw"), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_without_an_index(tmp_path, capsys):
    source = write(tmp_path / "raw", index=None)
    assert convert_lcrec(source, tmp_path / "data", "--drop_repeats") == 0
    assert RecDataset.load(tmp_path / "data").sequence(0).tolist() == [0, 1, 2]
    said = capsys.readouterr().out
    assert "no .index.json" in said and "1 repeated interactions left out" in said
    assert not (tmp_path / "data" / "index").exists()
    with pytest.raises(ValueError, match="--index_dir"):
        convert_lcrec(source, tmp_path / "other", "--index_dir", str(tmp_path / "i"))
    with pytest.raises(FileExistsError, match="data set already"):
        convert_lcrec(source, tmp_path / "data")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"inter": {"0": [0, 9]}}, r"T\.inter\.json: user '0': item '9' is not in T\.item\.json"),
        ({"inter": {"0": 3}}, r"T\.inter\.json: user '0': expected a list"),
        ({"inter": {"0": [1.5]}}, r"T\.inter\.json: user '0': no id: 1.5"),
        ({"inter": {"0": []}}, r"T\.inter\.json: holds no interaction"),
        ({"inter": "[1]"}, r"T\.inter\.json: expected a JSON object with an entry per user id"),
        ({"inter": '{"0": [0'}, r"T\.inter\.json: not valid JSON"),
        ({"inter": '{"0": [0], "0": [1]}'}, r"T\.inter\.json: .*'0' occurs twice"),
        ({"item": {**ITEM, "3": "Pencil"}}, r"T\.item\.json: item '3': expected an object"),
        ({"item": {**ITEM, "3": {"title": 5}}}, r"T\.item\.json: item '3': 'title' must be text"),
        ({"item": {**ITEM, "3": {"title": "\ud800"}}}, r"T\.item\.json: item '3': 'title'"),
        ({"item": {**ITEM, " 3": {"title": "x"}}}, r"T\.item\.json: item '3' occurs twice"),
        ({"item": {**ITEM, "5": {"title": "x"}}}, r"T\.index\.rq\.json: no index of item '5' of T\.item\.json"),
        ({"index": {**INDEX, "8": INDEX["0"]}}, r"T\.index\.rq\.json: item '8' is not in T\.item\.json"),
        ({"index": {**INDEX, "2": ["<a_1>", "<b_0>"]}}, r"T\.index\.rq\.json: item '2': expected 3 index tokens"),
    ],
)
def test_malformed_files(tmp_path, files, message):
    with pytest.raises(ValueError, match=message):
        read_lcrec(LCRecFiles.find([write(tmp_path / "raw", **files)]))


def test_finding_files(tmp_path):
    source = write(tmp_path / "raw")
    (source / "U.index.json").write_text("{}")
    with pytest.raises(ValueError, match=r"\.index\.json: T\.index\.rq\.json, U\.index\.json"):
        LCRecFiles.find([source])
    named = [source / name for name in ("T.item.json", "U.index.json", "T.inter.json")]
    assert LCRecFiles.find(named) == LCRecFiles(named[2], named[0], named[1])
    with pytest.raises(FileNotFoundError, match=r"no \.item\.json"):
        LCRecFiles.find([source / "T.inter.json"])
    with pytest.raises(FileNotFoundError, match="no such file"):
        LCRecFiles.find([tmp_path / "absent"])


def test_last_codes_follow_the_texts_and_may_run_out():
    codes = np.array([[0, 0], [0, 1], [1, 2], [1, 1], [1, 1]])
    vectors = np.array([[5.0, 0.0], [5.0, 9.0], [0.0, -9.0], [0.0, 1.0], [0.0, 1.0]])
    index = ItemIndex(list("abcde"), codes, (2, 4))
    resolved = resolve_collisions(index, vectors)
    assert resolved.codes.tolist() == [[0, 0], [0, 1], [1, 2], [1, 1], [1, 0]], "nearer than 3, which no item has"
    full = ItemIndex(list("abc"), np.array([[0, 0], [0, 1], [0, 1]]), (1, 2))
    with pytest.raises(ValueError, match="item 'c': all 2 last codes after <a_0> are taken"):
        resolve_collisions(full, vectors[:3])
    assert resolve_collisions(full, vectors[:3], "level").codes.tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 1]]


@pytest.mark.realdata
def test_real_files(tmp_path):
    source = Path(os.environ["HF_LLMREC_DATA"]) / "amazon-office-2014-lcrec"
    with pytest.raises(ValueError, match="10 items share"):
        convert_lcrec(source, tmp_path / "data")
    assert convert_lcrec(source, tmp_path / "data", "--resolve_collisions", "last_code") == 0
    dataset, index = RecDataset.load(tmp_path / "data"), ItemIndex.from_pretrained(tmp_path / "data" / "index")
    assert (dataset.num_users, dataset.num_items, dataset.num_interactions) == (4905, 2420, 53258)
    assert sum(map(bool, dataset.descriptions)) == 1781 and index.is_unique and index.levels == 4
    published = ItemIndex.from_json(source / "Office.index.rq-kmeans.json")
    assert int((published.codes != index.codes).any(axis=1).sum()) == 5
