"""What the commands refuse: data with nobody to evaluate, and whatever was fitted on other data."""

import json

import pytest

from hf_llmrec.cli import build_index, evaluate, train_baseline, train_galrec, train_lcrec
from hf_llmrec.cli.data_checks import check_base
from hf_llmrec.data.interactions import RecDataset

ITEMS = {"item_id": [*"abcdef"], "title": [*"ABCDEF"]}


def columns(rows):
    """Interactions as columns."""
    values = map(list, zip(*rows, strict=True))
    return dict(zip(("user_id", "item_id", "timestamp"), values, strict=True))


def save_log(folder, lengths, start=0):
    """Users with so many interactions each, a day apart."""
    rows = [
        (f"u{user}", ITEMS["item_id"][(user + n) % 6], start + n) for user, m in enumerate(lengths) for n in range(m)
    ]
    RecDataset.from_datasets(columns(rows), ITEMS).save(folder)
    return str(folder)


@pytest.mark.parametrize("model", ["knn", "popularity", "sasrec", "lightgcn"])
def test_training_needs_somebody_to_evaluate(tmp_path, model):
    data = save_log(tmp_path / "few", [2] * 30)
    with pytest.raises(ValueError, match="nobody can be evaluated .*none of the 30 users has three interactions"):
        train_baseline.main(["--model", model, "--dataset", data, "--output_dir", str(tmp_path / "out")])
    assert not (tmp_path / "out" / "recommender.json").exists()


def test_language_models_need_somebody_to_evaluate(tmp_path):
    data = save_log(tmp_path / "few", [2] * 30)
    with pytest.raises(ValueError, match="nobody can be evaluated"):
        train_lcrec.main(["--dataset", data, "--index", "none", "--output_dir", str(tmp_path / "out")])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluation_needs_somebody_to_evaluate(tmp_path, split):
    data = save_log(tmp_path / "few", [2, 1] * 15)
    options = ["--model", "popularity", "--dataset", data, "--split", split, "--output", str(tmp_path / "m.json")]
    with pytest.raises(ValueError, match=rf"nobody can be evaluated \({split}, leave_one_out\)"):
        evaluate.main(options)
    assert not (tmp_path / "m.json").exists()


def test_a_temporal_split_says_which_period_is_empty(tmp_path):
    log = {"user_id": [f"u{n}" for n in range(20)], "item_id": [*"ab"] * 10, "timestamp": list(range(20))}
    RecDataset.from_datasets(log, ITEMS).save(tmp_path / "data")
    options = ["--model", "popularity", "--dataset", str(tmp_path / "data"), "--protocol", "temporal"]
    with pytest.raises(ValueError, match="none of the 20 users has an interaction in the test period and one before"):
        evaluate.main(options)


def ring(folder, order=1, users=40):
    """Users walk along the items, forwards or backwards: the same ids and numbers, other held-out items."""
    rows = [(f"u{user}", ITEMS["item_id"][(user + n) % 6], order * n) for user in range(users) for n in range(5)]
    # Two items that too few have for the 5-core.
    catalogue = {"item_id": [*ITEMS["item_id"], "g"], "title": [*ITEMS["title"], "G"]}
    rows.append(("u0", "g", -9))
    RecDataset.from_datasets(columns(rows), catalogue).save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return ring(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def knn(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "knn"
    train_baseline.main(["--model", "knn", "--dataset", data, "--output_dir", str(folder)])
    return folder


@pytest.fixture(scope="module")
def vectors(data, tmp_path_factory):
    """Item embeddings of SASRec, trained under leave_one_out."""
    folder = tmp_path_factory.mktemp("sasrec")
    options = ["--model", "sasrec", "--dataset", data, "--output_dir", str(folder), "--max_steps", "2"]
    options += ["--export_embeddings", str(folder / "v.safetensors"), "--report_to", "none", "--disable_tqdm", "True"]
    train_baseline.main(options)
    return str(folder / "v.safetensors")


def test_evaluation_on_the_training_data_and_on_a_copy_in_another_order_of_rows(data, knn, tmp_path):
    dataset = RecDataset.load(data)
    users = [dataset.user_ids[user] for user in range(dataset.num_users - 1, -1, -1) for _ in dataset.sequence(user)]
    order = [row for user in range(dataset.num_users - 1, -1, -1) for row in range(*dataset.indptr[user : user + 2])]
    items = {"item_id": dataset.item_ids, "title": dataset.titles}
    ids = [dataset.item_ids[row] for row in dataset.indices[order]]
    log = {"user_id": users, "item_id": ids, "timestamp": dataset.timestamps[order] * 3 + 5}
    RecDataset.from_datasets(log, items).save(tmp_path / "copy")
    same = [evaluate.run(evaluate.EvaluateArguments(where, model=str(knn))) for where in (data, str(tmp_path / "copy"))]
    assert same[0]["num_users"] == 40 and same[0]["ndcg@10"] == pytest.approx(same[1]["ndcg@10"])


def test_evaluation_on_other_held_out_items_is_refused(data, knn, tmp_path):
    other = ring(tmp_path / "backwards", order=-1)
    options = ["--model", str(knn), "--output", str(tmp_path / "m.json")]
    for more, message in (
        (["--dataset", other], "knn was trained on other interactions than 'backwards'"),
        (["--dataset", data, "--protocol", "temporal"], r"another split \(leave_one_out, here temporal\) than"),
        (
            ["--dataset", data, "--k_core", "5"],
            r"another catalogue and other interactions .*\(k_core 0, this is 5; num_",
        ),
    ):
        with pytest.raises(ValueError, match=message) as error:
            evaluate.main([*options, *more])
        assert "--other_data True" in str(error.value) and not (tmp_path / "m.json").exists()
    evaluate.main([*options, "--dataset", other, "--other_data", "True"])
    assert json.loads((tmp_path / "m.json").read_text())["num_users"] == 40


def test_folders_of_version_0_1_are_checked_as_they_were_with_a_warning(data, knn, tmp_path, caplog):
    """They know ids and counts, not the interactions."""
    settings = json.loads((knn / "recommender.json").read_text())
    dataset = RecDataset.load(data)
    facts = {"protocol": "leave_one_out", "k_core": 0, "num_interactions": dataset.num_interactions}
    old = tmp_path / "old"
    old.mkdir()
    for file in knn.iterdir():
        if file.is_file():
            (old / file.name).write_bytes(file.read_bytes())
    settings["data"] = {**facts, "dataset_fingerprint": dataset.ids_fingerprint}
    (old / "recommender.json").write_text(json.dumps(settings))
    for where in (data, ring(tmp_path / "backwards", order=-1)):
        caplog.clear()
        assert evaluate.run(evaluate.EvaluateArguments(where, model=str(old)))["num_users"] == 40
        assert "fingerprint of version 0.1" in caplog.text
    with pytest.raises(ValueError, match="old was trained with protocol leave_one_out, this is temporal.*--other_data"):
        evaluate.run(evaluate.EvaluateArguments(data, model=str(old), protocol="temporal"))
    with pytest.raises(ValueError, match="old was trained on another dataset.*k_core 0, this is 5.*--other_data"):
        evaluate.run(evaluate.EvaluateArguments(data, model=str(old), k_core=5))


@pytest.mark.parametrize("how", ["collaborative", "text_embeddings"])
def test_indices_of_vectors_that_were_fitted_elsewhere(data, vectors, tmp_path, how, caplog):
    """Refused where they are built and where they are trained on; overruled, a model says so when it is evaluated."""
    options = ["--dataset", data, f"--{how}", vectors, "--output_dir", str(tmp_path / "index"), "--levels", "2"]
    with pytest.raises(ValueError, match=r"v.safetensors was made for another split \(leave_one_out, here temporal\)"):
        build_index.main([*options, "--protocol", "temporal"])
    with pytest.raises(ValueError, match="v.safetensors: tensor 'item_embeddings' is|another catalogue"):
        build_index.main([*options, "--k_core", "5"])
    assert not (tmp_path / "index").exists()
    build_index.main(options)
    train = ["--dataset", data, "--index", str(tmp_path / "index"), "--dry_run", "True"]
    train += ["--output_dir", str(tmp_path / "lcrec"), "--report_to", "none"]
    train_lcrec.main(train)
    with pytest.raises(
        ValueError, match=r"index was built for another split \(leave_one_out, here temporal\).*--other"
    ):
        train_lcrec.main([*train, "--protocol", "temporal"])
    train_lcrec.main([*train, "--protocol", "temporal", "--other_data", "True"])


def test_an_overruled_check_is_remembered_by_what_comes_of_it(data, vectors, tmp_path):
    """An index of vectors that were fitted elsewhere stays one, whatever it was built on."""
    options = ["--dataset", data, "--collaborative", vectors, "--output_dir", str(tmp_path / "index"), "--levels", "2"]
    build_index.main([*options, "--protocol", "temporal", "--other_data", "True"])
    train = ["--dataset", data, "--index", str(tmp_path / "index"), "--dry_run", "True", "--report_to", "none"]
    train += ["--output_dir", str(tmp_path / "lcrec"), "--protocol", "temporal"]
    with pytest.raises(ValueError, match="another split"):
        train_lcrec.main(train)


def test_a_model_trained_under_an_overruled_check_is_evaluated_with_a_warning(data, knn, tmp_path, caplog):
    arguments = train_lcrec.LCRecArguments(data, index="x", other_data=True)
    dataset, _ = arguments.load()
    settings = json.loads((knn / "recommender.json").read_text())
    settings["data"] = arguments.data_facts(dataset)
    for file in knn.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "recommender.json").write_text(json.dumps(settings))
    evaluate.run(evaluate.EvaluateArguments(data, model=str(tmp_path)))
    assert "was itself trained with --other_data True" in caplog.text


def test_galrec_refuses_a_teacher_of_another_split(data, vectors, tmp_path):
    options = ["--dataset", data, "--external", "collaborative", "--external_embeddings", vectors, "--dry_run", "True"]
    options += ["--output_dir", str(tmp_path / "galrec"), "--report_to", "none"]
    train_galrec.main(options)
    with pytest.raises(ValueError, match="v.safetensors was made for another split"):
        train_galrec.main([*options, "--protocol", "temporal"])
    train_galrec.main([*options, "--protocol", "temporal", "--other_data", "True"])


def test_training_that_goes_on_from_a_recommender_of_other_data_is_refused(data, knn):
    """Its weights may have been fitted on what is held out now."""
    for strategy, other_data in (("leave_one_out", False), ("temporal", True)):
        arguments = train_lcrec.LCRecArguments(data, index="x", protocol=strategy, other_data=other_data)
        check_base(str(knn), arguments, *arguments.load())
    arguments = train_lcrec.LCRecArguments(data, index="x", protocol="temporal")
    with pytest.raises(ValueError, match=r"knn was trained on another split \(leave_one_out, here temporal\).*--other"):
        check_base(str(knn), arguments, *arguments.load())


def test_other_base_models_are_not_checked(data, tmp_path):
    arguments = train_lcrec.LCRecArguments(data, index="x")
    for base in (None, str(tmp_path)):
        check_base(base, arguments, *arguments.load())


@pytest.mark.parametrize("command", [train_lcrec, train_galrec])
def test_language_models_check_what_they_start_from(command, data, knn, tmp_path):
    options = ["--dataset", data, "--model_name_or_path", str(knn), "--protocol", "temporal"]
    options += ["--output_dir", str(tmp_path), "--report_to", "none"] + (
        ["--index", "x"] if command is train_lcrec else []
    )
    with pytest.raises(ValueError, match="knn was trained on another split"):
        command.main(options)
