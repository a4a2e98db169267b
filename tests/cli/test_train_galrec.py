"""`train galrec` from end to end: external embeddings, other backbones, LoRA, evaluation, the pipeline."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel, pipeline

from hf_llmrec.cli import evaluate, train_galrec
from hf_llmrec.data.embedding_files import save_embeddings
from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.methods.galrec.trainer import GALRecTrainer
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer

QUICK = ["--max_steps", "6", "--learning_rate", "0.01", "--per_device_train_batch_size", "15", "--num_neighbors", "3"]
QUICK += ["--eval_users", "10", "--report_to", "none", "--use_cpu", "True", "--disable_tqdm", "True"]
SMALL = ["--backbone_overrides", '{"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}']


@pytest.fixture(scope="module")
def folders(dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("galrec")
    dataset.save(root / "data")
    rng = np.random.default_rng(0)
    save_embeddings(root / "items.safetensors", dataset, items=rng.standard_normal((dataset.num_items, 6)))
    base = train_corpus_tokenizer(dataset.titles, vocab_size=400)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(base), n_positions=256, n_embd=16, n_layer=1, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(root / "gpt2")
    base.save_pretrained(root / "gpt2")
    return root


def train(folders, output, *options):
    train_galrec.main(["--dataset", str(folders / "data"), "--output_dir", str(output), *QUICK, *options])


def test_without_embeddings_the_teacher_is_trained_first(folders, tmp_path, caplog):
    """In a process of its own; `--resume` finds it again."""
    quick = ["--teacher_options", '{"max_steps": 4, "seed": 7, "model_options": {"hidden_size": 10}}']
    with caplog.at_level("INFO", logger="hf_llmrec"):
        train(folders, tmp_path / "out", *SMALL, *quick)
    assert "SASRec is trained first" in caplog.text
    teacher = tmp_path / "out-teacher/embeddings.safetensors"
    written = teacher.stat().st_mtime_ns
    with safe_open(teacher, "np") as file:
        width = file.get_tensor("item_embeddings").shape[1]
        assert list(file.keys()) == ["item_embeddings"], "no vector of a user"
    assert json.loads((tmp_path / "out/config.json").read_text())["external_sizes"]["collaborative"] == width == 10
    assert json.loads((tmp_path / "out-teacher/training_report.json").read_text())["seed"] == 7
    train(folders, tmp_path / "out", *SMALL, "--resume", "True")
    assert teacher.stat().st_mtime_ns == written
    names = {path.name for path in (tmp_path / "out").rglob("*")}
    assert "model.safetensors" in names and "embeddings.safetensors" not in names, "what is published has no teacher"


def test_a_teacher_lives_where_it_is_told_to(folders, tmp_path, capfd):
    place = ["--teacher_dir", str(tmp_path / "sasrec"), "--teacher_options", '{"max_steps": 4, "logging_steps": 2}']
    train(folders, tmp_path / "out", *SMALL, *place)
    assert (tmp_path / "sasrec/embeddings.safetensors").exists() and not (tmp_path / "out-teacher").exists()
    report = json.loads((tmp_path / "out/training_report.json").read_text())
    assert "teacher_dir" not in report["config"], "a place on one machine"
    # Its own process says how far it is, under its own name.
    assert "teacher: step 2 of 4 (50 %)" in capfd.readouterr().err


def test_a_teacher_that_fails_ends_the_run(folders, tmp_path):
    with pytest.raises(RuntimeError, match="training SASRec, the teacher, ended with"):
        train(folders, tmp_path / "out", *SMALL, "--teacher_options", '{"model_options": {"hidden_size": -1}}')
    assert not (tmp_path / "out/model.safetensors").exists()


def test_a_model_is_evaluated_and_served(folders, tmp_path, dataset):
    options = ["--external_embeddings", str(folders / "items.safetensors"), "--include_graph", "True"]
    train(folders, tmp_path, *SMALL, *options, "--lm_loss_weight", "0.1", "--hops", "3")
    settings = json.loads((tmp_path / "recommender.json").read_text())
    assert settings["method"] == "galrec" and settings["graph"] and settings["prompt"]["hops"] == 3
    assert {path.suffix for path in tmp_path.iterdir() if path.is_file()} <= {".json", ".safetensors", ".py"}
    report = json.loads((tmp_path / "training_report.json").read_text())
    assert report["config"]["hops"] == 3 and any("history_to_item_loss" in entry for entry in report["log"])
    found = {}
    for neighbors in ("True", "False"):
        file = tmp_path / f"{neighbors}.json"
        places = ["--model", str(tmp_path), "--dataset", str(folders / "data"), "--output", str(file)]
        evaluate.main([*places, "--neighbors", neighbors, "--split", "validation"])
        found[neighbors] = json.loads(file.read_text())
    assert found["True"]["num_users"] == found["False"]["num_users"] == 60
    rec = pipeline("recommendation", model=str(tmp_path))
    assert type(rec.model).__name__ == "GALRecForCausalLM" and rec.recommender.graph is not None
    answer = rec({"history": ["i3", "i4", "i5"]}, top_k=4, exclude=["i6"])
    assert len(answer) == 4 and "i6" not in {item["item_id"] for item in answer}
    assert answer[0]["title"] == dataset.titles[dataset.item_row[answer[0]["item_id"]]]
    with pytest.raises(ValueError, match="no use for a query"):
        rec({"history": ["i3"], "query": "something red"})


@pytest.mark.parametrize("lora", [False, True])
def test_another_backbone_with_and_without_lora(folders, tmp_path, lora):
    options = ["--model_name_or_path", str(folders / "gpt2"), "--external", "text", "--max_length", "250"]
    train(folders, tmp_path, *options, *(["--use_peft", "True"] if lora else []))
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["text_config"]["model_type"] == "gpt2" and config["external_sizes"].keys() == {"text"}
    base = GPT2LMHeadModel.from_pretrained(folders / "gpt2").state_dict()
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        names = set(file.keys())
        assert not any("lora" in name for name in names)
        moved = file.get_tensor("model.language_model.h.0.attn.c_attn.weight")
        embeddings = file.get_tensor("model.language_model.wte.weight")
    assert not torch.equal(moved, base["transformer.h.0.attn.c_attn.weight"]), "adapters were merged"
    assert torch.equal(embeddings, base["transformer.wte.weight"]) == lora


@pytest.mark.parametrize(
    "options, message",
    [
        (["--external", "none"], "--external"),
        (["--external", "text", "--external_embeddings", "x"], "--external text leaves out"),
        (["--model_options", '{"wings": 2}'], "no \\['wings'\\]"),
    ],
)
def test_refused_before_it_starts(folders, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        train(folders, tmp_path, *options)


@pytest.mark.parametrize("options, kernel", [([], "eager"), (["--attn_implementation", "sdpa"], "sdpa")])
@pytest.mark.parametrize("start", ["scratch", "pretrained"])
def test_bf16_on_the_cpu(folders, tmp_path, monkeypatch, start, options, kernel):
    """Without `--use_cpu`; attention is eager unless somebody chose."""
    kernels = []

    class Watched(GALRecTrainer):
        def __init__(self, recommender, *arguments, **keywords):
            kernels.append(recommender.trunk.language_model.config._attn_implementation)
            super().__init__(recommender, *arguments, **keywords)

    monkeypatch.setattr("hf_llmrec.cli.train_galrec.GALRecRun.trainer_class", Watched)
    place = QUICK.index("--use_cpu")
    quick = [*QUICK[:place], *QUICK[place + 2 :]]
    base = SMALL if start == "scratch" else ["--model_name_or_path", str(folders / "gpt2"), "--max_length", "256"]
    options = [*options, *base, "--external", "text", "--bf16", "True", "--logging_steps", "1"]
    train_galrec.main(["--dataset", str(folders / "data"), "--output_dir", str(tmp_path), *quick, *options])
    assert kernels == [kernel]
    report = json.loads((tmp_path / "training_report.json").read_text())
    losses = [entry["loss"] for entry in report["log"] if "loss" in entry]
    assert losses and np.isfinite(losses).all() and report["config"]["use_cpu"]


@pytest.mark.parametrize("start", ["scratch", "pretrained"])
def test_defaults_are_those_of_the_start(folders, tmp_path, start):
    base = SMALL if start == "scratch" else ["--model_name_or_path", str(folders / "gpt2"), "--max_length", "256"]
    train(folders, tmp_path, *base, "--external", "text", "--latest_share", "0.6")
    prompt = json.loads((tmp_path / "recommender.json").read_text())["prompt"]
    config = json.loads((tmp_path / "config.json").read_text())
    expected = ("bare", [], 0.5) if start == "scratch" else ("words", [0], 0.0)
    assert (prompt["template"], prompt["title_hops"], config["rec_dropout"]) == expected
    assert json.loads((tmp_path / "training_report.json").read_text())["config"]["latest_share"] == 0.6


@pytest.fixture(scope="module")
def saved(folders, tmp_path_factory):
    output = tmp_path_factory.mktemp("saved")
    options = [
        "--model_options",
        '{"projection_size": 12}',
        "--external_embeddings",
        str(folders / "items.safetensors"),
    ]
    train(folders, output, *SMALL, *options, "--template", "bare")
    return output


# The prompt's options that nobody sets are the model's.
OWN = ["--save_strategy", "no"]


@pytest.mark.parametrize("lora", [[], ["--use_peft", "True"]], ids=["full", "lora"])
def test_going_on_from_a_saved_model_keeps_what_it_learned(folders, saved, tmp_path, lora):
    """A step of next to no size: the same weights, heads and item vectors; dropout may change; no teacher."""
    options = ["--model_name_or_path", str(saved), *OWN, "--learning_rate", "1e-12", "--max_steps", "1", *lora]
    train(folders, tmp_path, *options, "--model_options", '{"embedding_dropout": 0.25, "projection_size": 12}')
    before, after = (load_file(folder / "model.safetensors") for folder in (saved, tmp_path))
    assert set(before) == set(after) and any(name.startswith("projection.") for name in before)
    assert all(torch.allclose(value, after[name], atol=1e-6) for name, value in before.items())
    assert json.loads((tmp_path / "config.json").read_text())["embedding_dropout"] == 0.25
    assert not (tmp_path / "teacher").exists()
    metrics = [json.loads((folder / "training_report.json").read_text())["validation"] for folder in (saved, tmp_path)]
    assert metrics[0] == pytest.approx(metrics[1])


def test_it_learns_on(folders, saved, tmp_path):
    train(folders, tmp_path, "--model_name_or_path", str(saved), *OWN)
    before, after = (load_file(folder / "model.safetensors") for folder in (saved, tmp_path))
    assert not torch.allclose(
        before["model.entities.item_residual.weight"], after["model.entities.item_residual.weight"]
    )
    log = json.loads((saved / "training_report.json").read_text())["train"]["train_loss"]
    assert json.loads((tmp_path / "training_report.json").read_text())["train"]["train_loss"] < log


@pytest.mark.parametrize(
    "options, words",
    [
        (["--template", "words"], "template was bare, is words"),
        (["--hops", "1", "--loss_weights", "{}"], "hops was 2, is 1"),
        (["--external", "text"], "external: .* was trained with collaborative and text embeddings, these are text"),
        (["--model_options", '{"projection_size": 99}'], "projection_size was 12, is 99"),
        (["--external_embeddings", "{other}"], "not the collaborative embeddings that"),
    ],
)
def test_going_on_with_other_options_is_refused_by_name(folders, saved, dataset, tmp_path, options, words):
    vectors = np.random.default_rng(1).standard_normal((dataset.num_items, 6))
    save_embeddings(tmp_path / "other.safetensors", dataset, items=vectors)
    options = [option.replace("{other}", str(tmp_path / "other.safetensors")) for option in options]
    with pytest.raises(ValueError, match=words):
        train(folders, tmp_path / "out", "--model_name_or_path", str(saved), *OWN, *options)
    assert not (tmp_path / "out").exists()


def test_going_on_with_another_catalogue_is_refused(folders, saved, dataset, tmp_path):
    items = {"item_id": [*dataset.item_ids[:-1], "new"], "title": dataset.titles}
    interactions = {"user_id": ["a"] * 4, "item_id": dataset.item_ids[:4], "position": [0, 1, 2, 3]}
    RecDataset.from_datasets(interactions, items, name="other").save(tmp_path / "data")
    with pytest.raises(
        ValueError, match="another catalogue: it has 24 items, the dataset 24, and they differ from row 23"
    ):
        train(folders, tmp_path / "out", "--model_name_or_path", str(saved), *OWN, "--dataset", str(tmp_path / "data"))
