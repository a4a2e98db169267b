"""The recipes, end to end on a small dataset folder; one process and two."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hf_llmrec.cli import build_index, evaluate, main, train_lcrec
from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.evaluation.evaluator import evaluate_ranker
from hf_llmrec.methods.auto import AutoRecommender

ROOT = Path(__file__).parents[2]
TRAINING = [
    *("--backbone_overrides", '{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}'),
    *("--corpus_vocab_size", "400", "--max_steps", "150", "--learning_rate", "0.01", "--tokens_per_batch", "600"),
    *("--task_weights", '{"seq": 1.0, "mut": 0.2}'),
    *("--max_length", "96", "--eval_users", "20", "--report_to", "none", "--use_cpu", "True", "--seed", "3"),
    *("--eval_strategy", "steps", "--eval_steps", "50", "--save_strategy", "steps", "--save_steps", "50"),
    *("--load_best_model_at_end", "True", "--metric_for_best_model", "ndcg@10", "--disable_tqdm", "True"),
]


@pytest.fixture(scope="module")
def folders(dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("recipes")
    dataset.save(root / "data")
    build_index.main(["--dataset", str(root / "data"), "--output_dir", str(root / "index")])
    options = ["--dataset", str(root / "data"), "--index", str(root / "index"), "--output_dir", str(root / "model")]
    train_lcrec.main([*options, *TRAINING])
    return root


def test_what_the_recipes_leave_behind(folders):
    assert {"item_index.json", "item_index.safetensors", "item_index.png"} <= {
        p.name for p in (folders / "index").iterdir()
    }
    names = {path.name for path in (folders / "model").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "item_catalog.json", "recommender.json"} <= names
    report = json.loads((folders / "model" / "training_report.json").read_text())
    assert report["validation"]["num_users"] == 20 and report["versions"]["transformers"]
    assert not any(path.name.startswith(".") for path in (folders / "model").iterdir())


def evaluated(folders, output, *options):
    evaluate.main(
        ["--model", str(folders / "model"), "--dataset", str(folders / "data"), "--output", str(output), *options]
    )
    return json.loads(Path(output).read_text())


def test_a_trained_model_beats_popularity(folders, tmp_path, capsys):
    model = evaluated(folders, tmp_path / "model.json")
    options = ["--model", "popularity", "--dataset", str(folders / "data"), "--output", str(tmp_path / "p.json")]
    evaluate.main(options)
    popular = json.loads((tmp_path / "p.json").read_text())
    assert model["num_users"] == popular["num_users"] == 60
    assert model["ndcg@10"] > popular["ndcg@10"]
    assert "hit_rate@10" in capsys.readouterr().out


def test_a_result_file_says_how_the_model_was_trained(folders, tmp_path):
    evaluated(folders, tmp_path / "metrics.json", "--result", str(tmp_path / "results" / "lcrec.json"))
    record = json.loads((tmp_path / "results" / "lcrec.json").read_text())
    assert record["metrics"]["ndcg@10"] == json.loads((tmp_path / "metrics.json").read_text())["ndcg@10"]
    assert record["config"]["learning_rate"] == 0.01 and record["config"]["tokens_per_batch"] == 600
    assert record["config"]["task_weights"] == {"seq": 1.0, "mut": 0.2} and record["seed"] == 3
    assert record["validation"]["num_users"] == 20 and record["evaluation"]["split"] == "test"
    assert record["duration_s"] > 0 and {"versions", "hardware"} <= set(record)
    # Options that nobody set are not in it, and no path of this machine is.
    assert not {"weight_decay", "lora_r", "fp16", "bf16"} & set(record["config"])
    assert str(folders) not in json.dumps(record)


def test_a_result_file_of_a_model_without_training(folders, tmp_path):
    options = ["--model", "popularity", "--dataset", str(folders / "data"), "--result", str(tmp_path / "p.json")]
    evaluate.main(options)
    record = json.loads((tmp_path / "p.json").read_text())
    assert record["metrics"]["num_users"] == 60 and record["config"] == {} and record["seed"] is None


def test_task_report_tells_what_was_learned(folders, tmp_path, capsys):
    tasks = evaluated(folders, tmp_path / "t.json", "--split", "validation", "--tasks", "True")["tasks"]
    assert set(tasks) >= {"mut_title_to_item_accuracy", "asy_titles_to_item_hit_rate@10", "probe_text"}
    assert all(0 <= value <= 1 for name, value in tasks.items() if "loss" not in name)
    assert tasks["per_loss"] > 0 and tasks["asy_history_to_title_loss"] > 0
    # The ring's next item is learned, so it is scored above its neighbours in text and in baskets.
    assert tasks["probe_text"] > 0.6 and tasks["probe_co_purchase"] > 0.6
    assert "probe_text" in capsys.readouterr().out


def test_qwen3_in_the_papers_prefix_form_with_lora(folders, tmp_path):
    """The other architecture and the other prompt form, from the command line to a saved, merged model."""
    options = ["--dataset", str(folders / "data"), "--index", str(folders / "index"), *TRAINING]
    options += ["--output_dir", str(tmp_path), "--architecture", "qwen3", "--seq_form", "prefix", "--max_steps", "20"]
    train_lcrec.main([*options, "--use_peft", "True", "--lora_target_modules", "q_proj", "v_proj"])
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "qwen3"
    assert json.loads((tmp_path / "recommender.json").read_text())["prompt"]["form"] == "prefix"
    ranker = AutoRecommender.from_pretrained(tmp_path)
    assert not (tmp_path / "adapter_config.json").exists() and ranker.prompt.form == "prefix"
    report = json.loads((tmp_path / "training_report.json").read_text())
    assert report["task_rows"]["seq"] == 60 * 5  # one row per prefix of six training items
    cases = RecDataset.load(folders / "data").split().validation.sample(20, seed=0)
    assert evaluate_ranker(ranker, cases, ranker.item_ids).metrics == pytest.approx(report["validation"])


def test_task_report_is_for_lcrec(folders):
    with pytest.raises(ValueError, match="--tasks"):
        evaluate.main(["--model", "popularity", "--dataset", str(folders / "data"), "--tasks", "True"])


@pytest.mark.slow
def test_two_processes_give_exactly_the_metrics_of_one(folders, tmp_path):
    one = evaluated(folders, tmp_path / "one.json")
    command = [sys.executable, "-m", "accelerate.commands.launch"]
    command += [
        "--config_file",
        str(ROOT / "recipes/accelerate_configs/ddp_cpu.yaml"),
        str(ROOT / "recipes/evaluate.py"),
    ]
    command += [
        "--model",
        str(folders / "model"),
        "--dataset",
        str(folders / "data"),
        "--output",
        str(tmp_path / "two.json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    two = json.loads((tmp_path / "two.json").read_text())
    for name in ("hit_rate@1", "hit_rate@5", "hit_rate@10", "ndcg@5", "ndcg@10", "num_users", "catalogue_coverage"):
        assert two[name] == one[name]


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--dataset", "demo"], "--index is required"),
        (["--dataset", "demo", "--index", "x", "--train_index_rows", "some"], "--train_index_rows"),
    ],
)
def test_train_names_the_option_that_is_wrong(argv, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train_lcrec.main([*argv, "--output_dir", str(tmp_path)])


def test_an_index_of_another_catalogue_is_refused(folders, tmp_path):
    with pytest.raises(ValueError, match="another catalogue"):
        train_lcrec.main(
            [
                "--dataset",
                "demo",
                "--index",
                str(folders / "index"),
                "--output_dir",
                str(tmp_path),
                "--report_to",
                "none",
            ]
        )


def test_unknown_commands_and_help(capsys):
    assert main(["nothing"]) == 2 and "unknown command 'nothing'" in capsys.readouterr().err
    assert main(["--help"]) == 0
