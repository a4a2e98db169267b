"""What fingerprints of data tell apart, and what is refused because of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from hf_llmrec.data.embedding_files import load_item_embeddings, read_data_fingerprint, save_embeddings
from hf_llmrec.data.fingerprints import DataFingerprint, ids_fingerprint
from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.data.item_index import ItemIndex
from hf_llmrec.data.same_data import check_index, check_same_data
from hf_llmrec.indexing.build import build_index

ITEMS = {"item_id": [*"abcdef"], "title": [*"ABCDEF"]}
ROWS = [("ann", "a", 1), ("ann", "b", 2), ("ann", "c", 3), ("bob", "b", 1), ("bob", "d", 4), ("bob", "a", 6)]


def shop(rows=tuple(ROWS), items=ITEMS):
    columns = dict(zip(("user_id", "item_id", "timestamp"), map(list, zip(*rows, strict=True)), strict=True))
    return RecDataset.from_datasets(columns, items, name="shop")


def other_items(ids):
    return {"item_id": ids, "title": [each.upper() for each in ids]}


def differences(dataset, strategy="leave_one_out"):
    """In what a dataset differs from that of `ROWS`, both split by ``strategy``."""
    first = shop()
    return first.data_fingerprint(first.split(strategy)).differences(dataset.data_fingerprint(dataset.split(strategy)))


@pytest.mark.parametrize(
    "change, expected",
    [
        (shop(ROWS[::-1]), []),  # rows of the file in another order, users too
        (shop(ROWS[3:] + ROWS[:3]), []),
        (
            shop([(user, item, 1000 + 7 * time) for user, item, time in ROWS]),
            [],
        ),  # times do not count, their order does
        (shop([("ann", "a", 3), *ROWS[1:2], ("ann", "c", 1), *ROWS[3:]]), ["interactions"]),  # c, b, a
        (shop([*ROWS[:2], ("ann", "e", 3), *ROWS[3:]]), ["interactions"]),  # another item at the same place
        (shop([("eve", *row[1:]) if row[0] == "bob" else row for row in ROWS]), ["interactions", "split"]),
        (shop([*ROWS, ("bob", "c", 9)]), ["interactions", "split"]),
        # The same ids and as many interactions, but one of another user.
        (shop([*ROWS[:5], ("ann", "a", 6)]), ["interactions", "split"]),
        (shop(items=other_items([*"fedcba"])), ["catalogue"]),
        (shop(items=other_items([*"abcdefg"])), ["catalogue"]),
    ],
)
def test_what_makes_data_another(change, expected):
    assert differences(change) == expected


def test_a_temporal_split_is_told_by_its_cuts_and_by_who_is_held_out():
    first, later = shop(), shop([(*row[:2], row[2] + 5) for row in ROWS])
    assert differences(later) == [] and differences(later, "temporal") == ["split"]
    prints = {
        name: first.data_fingerprint(split)
        for name, split in {
            "default": first.split("temporal"),
            "shares": first.split("temporal", validation_share=0.3, test_share=0.3),
            "leave_one_out": first.split(),
        }.items()
    }
    assert len({each.split for each in prints.values()}) == 3
    assert prints["default"].split.startswith("temporal:4:6:")
    # The same cuts and each user's order, but ann's last interaction is before the first cut, or after it.
    early, late = (shop([*ROWS[:2], ("ann", "c", time), *ROWS[3:]]) for time in (3, 5))
    splits = [replace(each.split("temporal"), cuts=(4, 6)) for each in (early, late)]
    mine, theirs = (each.data_fingerprint(split) for each, split in zip((early, late), splits, strict=True))
    assert mine.differences(theirs) == ["split"]


def test_ids_do_not_run_into_each_other():
    first = shop([("a", "b", 1), ("ab", "c", 1)])
    second = shop([("a", "b", 1), ("abc", "c", 1)])
    moved = shop([("ab", "c", 1), ("a", "b", 1)])
    assert first.interactions_fingerprint != second.interactions_fingerprint
    assert first.interactions_fingerprint == moved.interactions_fingerprint
    wide = other_items(["x", "xy", "yz", "z"])
    assert (
        shop([("u", "x", 1), ("u", "yz", 2)], wide).interactions_fingerprint
        != shop([("u", "xy", 1), ("u", "z", 2)], wide).interactions_fingerprint
    )


def test_a_k_core_is_other_data():
    rows = [*ROWS, ("cat", "a", 2), ("cat", "b", 3), ("cat", "f", 4)]
    whole, core = shop(rows), shop(rows).k_core(2)
    assert core.num_interactions < whole.num_interactions
    found = whole.data_fingerprint(whole.split()).differences(core.data_fingerprint(core.split()))
    assert found == ["catalogue", "interactions", "split"]


def test_the_json_form_has_a_version():
    dataset = shop()
    made = dataset.data_fingerprint(dataset.split())
    assert made.to_dict()["version"] == 2
    assert DataFingerprint.from_dict(json.loads(json.dumps(made.to_dict())), "x") == made
    for value in ({"version": 3, "catalogue": "0"}, {"catalogue": "0"}, {"version": 2}, "0", None):
        with pytest.raises(ValueError, match="model: its data fingerprint is not one that this version"):
            DataFingerprint.from_dict(value, "model")


CHECKS = [
    (lambda: shop([*ROWS[:2], ("ann", "e", 3), *ROWS[3:]]), "leave_one_out", "other interactions than 'shop'"),
    (shop, "temporal", r"another split \(leave_one_out, here temporal\) than 'shop'"),
    (lambda: shop(items=other_items([*"fedcba"])), "leave_one_out", "another catalogue than 'shop'"),
]


@pytest.mark.parametrize("make, strategy, message", CHECKS)
def test_vectors_fitted_on_other_data_are_refused_by_name(tmp_path, make, strategy, message):
    trained, here = shop(), make()
    file, vectors = tmp_path / "v.safetensors", np.eye(6, dtype=np.float32)
    save_embeddings(file, trained, items=vectors, split=trained.split())
    with pytest.raises(ValueError, match=rf"v.safetensors was made for {message}"):
        load_item_embeddings(file, here, here.split(strategy))
    if "catalogue" in message:  # vectors of other items are never right
        with pytest.raises(ValueError, match="its rows are not the items"):
            load_item_embeddings(file, here, here.split(strategy), other_data=True)
    else:
        assert np.array_equal(load_item_embeddings(file, here, here.split(strategy), other_data=True), vectors)
    with pytest.raises(ValueError, match="pass the split"):
        load_item_embeddings(file, trained)


@pytest.mark.parametrize("make, strategy, message", CHECKS)
def test_vectors_of_texts_depend_on_the_catalogue_alone(tmp_path, make, strategy, message):
    trained, here = shop(), make()
    file, vectors = tmp_path / "v.safetensors", np.eye(6, dtype=np.float32)
    save_embeddings(file, trained, items=vectors)
    assert read_data_fingerprint(file) == DataFingerprint(trained.catalog_fingerprint)
    if "catalogue" in message:
        with pytest.raises(ValueError, match="another catalogue"):
            load_item_embeddings(file, here, here.split(strategy))
    else:
        assert np.array_equal(load_item_embeddings(file, here, here.split(strategy)), vectors)


@pytest.mark.parametrize("make, strategy, message", CHECKS)
def test_indices_with_collaborative_codes_are_checked_and_text_indices_are_not(
    tmp_path, make, strategy, message, caplog
):
    trained, here = shop(), make()
    vectors = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    fitted = trained.data_fingerprint(trained.split())
    build = {"levels": 2, "codebook_size": 4}
    build_index(vectors, trained.item_ids, collaborative=vectors, fitted_on=fitted, **build).save_pretrained(tmp_path)
    index = ItemIndex.from_pretrained(tmp_path)
    check_index("--index mine", index, trained, trained.split())
    with pytest.raises(ValueError, match=f"--index mine was built for {message}"):
        check_index("--index mine", index, here, here.split(strategy))
    if "catalogue" in message:
        return
    check_index("--index mine", index, here, here.split(strategy), other_data=True)
    check_index("--index mine", build_index(vectors, here.item_ids, **build), here, here.split(strategy))
    assert not caplog.records
    # Of version 0.1, or built without saying what the vectors were fitted on.
    check_index("--index mine", build_index(vectors, here.item_ids, collaborative=vectors, **build), here, here.split())
    assert "--index mine was built with collaborative embeddings and does not say of which" in caplog.text


def test_edited_indices_keep_what_their_codes_were_fitted_on():
    trained = shop()
    vectors = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    fitted = trained.data_fingerprint(trained.split())
    index = build_index(vectors, trained.item_ids, collaborative=vectors, fitted_on=fitted, levels=2, codebook_size=4)
    index = index.remove_items(["f"]).add_items(["g"], vectors[:1], vectors[:5])
    found = index.data_fingerprint
    assert found.catalogue == index.fingerprint != fitted.catalogue
    assert (found.interactions, found.split) == (fitted.interactions, fitted.split)


def test_files_of_version_0_1_are_checked_by_their_ids_with_a_warning(tmp_path, caplog):
    first, reordered = shop(), shop([("ann", "a", 3), *ROWS[1:2], ("ann", "c", 1), *ROWS[3:]])
    old = ids_fingerprint(first.item_ids, first.user_ids)
    # As version 0.1 computed it of these ids.
    assert old == "a34f7383bcb422c7044142f3043699f2ebcfbac9c638789b98c2855fac9084cd"
    file, vectors = tmp_path / "old.safetensors", np.eye(6, dtype=np.float32)
    save_file({"item_embeddings": vectors}, file, metadata={"fingerprint": old})
    for dataset, strategy in ((first, "leave_one_out"), (reordered, "temporal")):
        caplog.clear()
        assert np.array_equal(load_item_embeddings(file, dataset, dataset.split(strategy)), vectors)
        assert "old.safetensors carries a fingerprint of version 0.1" in caplog.text
    other = shop([("eve", *row[1:]) for row in ROWS])
    with pytest.raises(ValueError, match="old.safetensors was made for another dataset than 'shop'"):
        load_item_embeddings(file, other, other.split())
    caplog.clear()
    save_file({"embeddings": vectors}, file, metadata={"fingerprint": first.catalog_fingerprint})
    load_item_embeddings(file, other, other.split())
    assert not caplog.records  # all that is to be known of vectors of texts


def test_without_rows_another_catalogue_can_be_overruled():
    first, here = shop(), shop(items=other_items([*"fedcba"]))
    recorded = first.data_fingerprint(first.split())
    check_same_data("model", recorded, here, here.split(), by_row=False, other_data=True)
    with pytest.raises(ValueError, match="model was trained on another catalogue than 'shop' here.*--other_data True"):
        check_same_data("model", recorded, here, here.split(), by_row=False, made="was trained on")
