"""Each publisher's format -> a dataset that the package and `datasets` read, index and train on."""

import zipfile
from pathlib import Path

import pytest
from datasets import load_dataset

from hf_llmrec import RecDataset
from hf_llmrec.cli import convert as command
from hf_llmrec.converters.convert import convert
from hf_llmrec.converters.sources import SOURCES

from .formats import EXPECTED, FORMATS, fixture, many, raw, write


def test_every_source_has_its_fixture_and_its_script():
    assert set(FORMATS) == set(SOURCES)
    scripts = Path(__file__).parents[2] / "datasets_scripts"
    assert {path.stem.replace("_", "-") for path in scripts.glob("*.py")} == set(SOURCES)


@pytest.mark.parametrize("name", FORMATS)
def test_each_format(name, tmp_path):
    raw(tmp_path / "raw", name)
    command.main(
        [name, "--input", str(tmp_path / "raw"), "--output_dir", str(tmp_path / "data"), "--max_bad_lines", "0"]
    )
    expected, dataset = EXPECTED[name], RecDataset.load(tmp_path / "data")
    assert len(dataset.user_ids) == 1 and dataset.item_ids == expected.get("items", ["9001", "9002"])
    day = 86_400 if name in ("netflix", "steam") else 1
    assert (dataset.timestamps // day).tolist() == [1252800000 // day, 1252900000 // day]
    for column in ("titles", "categories", "descriptions", "brands"):
        assert getattr(dataset, column) == expected.get(column, ["", ""]), column
    tables = {
        table: load_dataset(str(tmp_path / "data"), table, cache_dir=str(tmp_path / "cache"))["train"]
        for table in ("interactions", "items", *(["reviews"] if "review" in expected else []))
    }
    assert ("rating" in tables["interactions"].column_names) == ("ratings" in expected)
    if "ratings" in expected:
        assert list(tables["interactions"]["rating"]) == expected["ratings"]
    if "review" in expected:
        (review,) = tables["reviews"]
        assert review["text"] == expected["review"] and review["item_id"] == dataset.item_ids[0]
    else:
        assert dataset.reviews is None
    card = (tmp_path / "data" / "README.md").read_text()
    assert SOURCES[name].homepage in card and "| interactions | 2 |" in card and str(tmp_path) not in card


@pytest.mark.parametrize("name", FORMATS)
def test_what_comes_out_can_be_indexed_and_trained_on(name, tmp_path):
    from hf_llmrec.cli import build_index, train_baseline, train_lcrec

    for file, lines in zip(FORMATS[name], many(name), strict=False):
        write(tmp_path / "raw" / file, lines)
    data = str(tmp_path / "data")
    command.main([name, "--input", str(tmp_path / "raw"), "--output_dir", data, "--max_bad_lines", "0"])
    dataset = RecDataset.load(data)
    assert (dataset.num_users, dataset.num_items, dataset.num_interactions) == (12, 17, 72)
    build_index.main(["--dataset", data, "--output_dir", str(tmp_path / "index")])
    short = ["--max_steps", "1", "--use_cpu", "True", "--report_to", "none"]
    train_baseline.main(["--model", "sasrec", "--dataset", data, "--output_dir", str(tmp_path / "sasrec"), *short])
    options = ["--index", str(tmp_path / "index"), "--output_dir", str(tmp_path / "lcrec"), *short]
    train_lcrec.main(["--dataset", data, *options])
    assert (tmp_path / "lcrec" / "model.safetensors").is_file()


def test_an_archive_is_read_as_it_is(tmp_path):
    """As GroupLens ships it: a folder inside, and files that are of no interest."""
    with zipfile.ZipFile(tmp_path / "ml-1m.zip", "w") as archive:
        archive.writestr("ml-1m/README", "terms")
        archive.writestr("ml-1m/users.dat", "1::F::1::10::48067")
        for file in FORMATS["movielens-1m"]:
            archive.writestr(f"ml-1m/{file}", "\n".join(fixture("movielens-1m", file)).encode("latin-1"))
    convert(SOURCES["movielens-1m"], [tmp_path / "ml-1m.zip"], tmp_path / "data")
    assert RecDataset.load(tmp_path / "data").titles == EXPECTED["movielens-1m"]["titles"]
