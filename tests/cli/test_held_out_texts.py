"""`train lcrec --held_out_texts` and `evaluate --tasks`: the share and the seed are saved, and compared."""

import json

import pytest

from hf_llmrec.cli import build_index, evaluate, train_lcrec

TRAINING = [
    *("--backbone_overrides", '{"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}'),
    *("--corpus_vocab_size", "400", "--max_steps", "2", "--learning_rate", "0.01", "--tokens_per_batch", "600"),
    *("--task_weights", '{"seq": 1.0, "mut": 1.0, "asy": 0.2, "ite": 1.0}', "--max_length", "96"),
    *("--eval_users", "10", "--report_to", "none", "--use_cpu", "True", "--memory", "False", "--disable_tqdm", "True"),
]


@pytest.fixture(scope="module")
def folders(dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("held-out")
    dataset.save(root / "data")
    build_index.main(["--dataset", str(root / "data"), "--output_dir", str(root / "index")])
    train(root, root / "model", "--held_out_texts", "0.25", "--held_out_texts_seed", "4")
    return root


def train(folders, output, *options):
    data = ["--dataset", str(folders / "data"), "--index", str(folders / "index"), "--output_dir", str(output)]
    train_lcrec.main([*data, *TRAINING, *options])


def evaluated(folders, *options):
    output = folders / "metrics.json"
    data = ["--model", str(folders / "model"), "--dataset", str(folders / "data"), "--output", str(output)]
    evaluate.main([*data, "--split", "validation", *options])
    return json.loads(output.read_text())


def test_the_choice_is_saved_and_reported_apart(folders, capsys):
    settings = json.loads((folders / "model" / "recommender.json").read_text())
    assert settings["data"]["held_out_texts"] == 0.25 and settings["data"]["held_out_texts_seed"] == 4
    report = json.loads((folders / "model" / "training_report.json").read_text())
    assert (report["held_out_texts"], report["held_out_texts_seed"]) == (0.25, 4)
    assert report["config"]["held_out_texts"] == 0.25 and report["task_rows"]["mut_title_to_item"] == 18
    tasks = evaluated(folders, "--tasks", "True")["tasks"]
    assert (tasks["held_out_texts"], tasks["held_out_texts_seed"]) == (0.25, 4)
    assert tasks["held_out"]["num_cases"]["mut_title_to_item_accuracy"] == 6
    assert tasks["others"]["num_cases"]["mut_title_to_item_accuracy"] == 18
    said = capsys.readouterr().out
    assert "held out" in said and "of 18" in said
    again = evaluated(folders, "--tasks", "True", "--held_out_texts", "0.25", "--held_out_texts_seed", "4")["tasks"]
    assert again == tasks
    assert "held_out" not in evaluated(folders, "--tasks", "True", "--held_out_texts", "0")["tasks"]


@pytest.mark.parametrize("options", [["--held_out_texts", "0.5"], ["--held_out_texts_seed", "5"]])
def test_other_texts_are_refused(folders, options, caplog):
    with pytest.raises(ValueError, match=r"model was trained with held_out_texts 0.25 .* 4, this is .*--other_data"):
        evaluated(folders, "--tasks", "True", *options)
    tasks = evaluated(folders, "--tasks", "True", *options, "--other_data", "True")["tasks"]
    assert "may have read the texts" in caplog.text and "held_out" in tasks
    with pytest.raises(ValueError, match="--tasks"):
        evaluated(folders, *options)


def test_training_goes_on_without_these_texts_only(folders, tmp_path):
    base = ["--model_name_or_path", str(folders / "model")]
    with pytest.raises(ValueError, match=r"held_out_texts 0.25 .*, this is held_out_texts 0.5"):
        train(folders, tmp_path / "a", *base, "--held_out_texts", "0.5")
    train(folders, tmp_path / "b", *base)
    data = json.loads((tmp_path / "b" / "recommender.json").read_text())["data"]
    assert "held_out_texts" not in data, "it has read all texts now"
    with pytest.raises(ValueError, match="with all texts, this is held_out_texts 0.2"):
        train(folders, tmp_path / "c", "--model_name_or_path", str(tmp_path / "b"), "--held_out_texts", "0.2")
    with pytest.raises(ValueError, match="held_out_texts must be a share"):
        train(folders, tmp_path / "d", "--held_out_texts", "1.5")


def test_plain_text_in_training_and_evaluation(folders, tmp_path, capsys):
    text = tmp_path / "prose.txt"
    text.write_text("A ring of pieces.\n\nThe pieces are red or blue.\n" * 20)
    train(folders, folders / "prose", "--plain_text", str(text))
    report = json.loads((folders / "prose" / "training_report.json").read_text())
    assert report["task_rows"]["text"] > 0
    data = ["--dataset", str(folders / "data"), "--output", str(tmp_path / "m.json"), "--split", "validation"]
    options = ["--plain_text", str(text), "--plain_text_base", str(folders / "prose")]
    evaluate.main(["--model", str(folders / "prose"), *data, *options])
    measured = json.loads((tmp_path / "m.json").read_text())["plain_text"]
    assert measured["num_texts"] == 21 and measured["perplexity"] > 1
    assert measured["base"]["num_tokens"] == measured["num_tokens"], "the stock classes encode the same text alike"
    assert "perplexity of" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--plain_text is about LC-Rec"):
        evaluate.main(["--model", "popularity", *data, "--plain_text", str(text)])
