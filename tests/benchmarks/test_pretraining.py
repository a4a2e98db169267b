"""The pretraining experiment at toy size: the result's form, what an interruption costs, and its parts."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, TrainerCallback

from hf_llmrec.evaluation.metrics import metric_values
from hf_llmrec.indexing.build import build_index
from hf_llmrec.indexing.text_embeddings import embed_items
from hf_llmrec.training.added_callbacks import added_callbacks
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer

FOLDER = Path(__file__).parents[2] / "benchmarks"
ARMS = ["pretrained", "random", "shuffled_1e", "three_layer"]


@pytest.fixture(scope="module")
def modules():
    """The script and the part of it that knows the arms; its folder is on the path, as when it is run."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("pretraining"), importlib.import_module("pretraining_arms")
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def places(dataset, tmp_path_factory):
    """Data, an index, and a small Llama in the place of the pretrained model."""
    folder = tmp_path_factory.mktemp("pretraining")
    dataset.save(folder / "data")
    build_index(embed_items(dataset), dataset.item_ids, levels=3, codebook_size=8).save_pretrained(folder / "index")
    tokenizer = train_corpus_tokenizer([*dataset.titles, *dataset.descriptions], vocab_size=400)
    tokenizer.save_pretrained(folder / "model")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4}
    torch.manual_seed(7)
    config = LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, **sizes)
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    return folder


def run(modules, places, output, monkeypatch, *more, arms=ARMS):
    script, _ = modules
    words = ["--dataset", str(places / "data"), "--index", str(places / "index"), "--model", str(places / "model")]
    words += ["--output_dir", str(output), "--layers", "2", "--epochs", "2", "--tokens_per_batch", "400"]
    words += ["--eval_users", "20", "--bf16", "False", "--arms", *arms, *more]
    monkeypatch.setattr(sys, "argv", ["pretraining.py", *words])
    script.main()
    return json.loads((output / "pretraining.json").read_text())


class Kill(TrainerCallback):
    """Interrupts the second training in its second epoch."""

    trainings = 0

    def on_train_begin(self, args, state, control, **kwargs):
        self.trainings += 1

    def on_step_end(self, args, state, control, **kwargs):
        if self.trainings == 2 and state.epoch > 1:
            raise KeyboardInterrupt


def test_an_interrupted_experiment_ends_as_one_that_was_not(modules, places, tmp_path, monkeypatch):
    whole = run(modules, places, tmp_path / "whole", monkeypatch)
    with pytest.raises(KeyboardInterrupt), added_callbacks(Kill()):
        run(modules, places, tmp_path / "killed", monkeypatch)
    first = tmp_path / "killed/arms/pretrained_2l/arm.json"
    before = first.stat().st_mtime_ns
    assert list((tmp_path / "killed/arms/random_2l").glob("checkpoint-*")), "so that it goes on from there"
    assert list(json.loads((tmp_path / "killed/pretraining.json").read_text())["arms"]) == ["pretrained_2l"]
    resumed = run(modules, places, tmp_path / "killed", monkeypatch)
    assert first.stat().st_mtime_ns == before, "a finished arm is not trained again"

    assert list(whole["arms"]) == ["pretrained_2l", "random_2l", "shuffled_2l_1e", "three_layer"]
    for name, arm in whole["arms"].items():
        assert {"seed", "layers", "learning_rate", "tasks", "curve", "test"} <= set(arm)
        assert arm["layers"] == (3 if name == "three_layer" else 2) and arm["tasks"] == {"seq": 1.0}
        again = resumed["arms"][name]
        assert [point[0] for point in arm["curve"]] == ([1.0] if name.endswith("1e") else [1.0, 2.0])
        for point, other in zip(arm["curve"], again["curve"], strict=True):
            assert len(point) == 5 and point[2] > 0 and other[2] > 0  # seconds differ
            np.testing.assert_allclose([*point[:2], *point[3:]], [*other[:2], *other[3:]], atol=1e-6)
        seconds = [point[2] for point in again["curve"]]
        assert seconds == sorted(seconds), "what the killed run took counts"
        test = arm["test"]
        assert {name: value for name, value in test.items() if name != "seconds"} == {
            name: value for name, value in again["test"].items() if name != "seconds"
        }
        head, tail = test["groups"]["head"], test["groups"]["tail"]
        assert head["num_users"] + tail["num_users"] == test["num_users"] == 60
        mean = (head["ndcg@10"] * head["num_users"] + tail["ndcg@10"] * tail["num_users"]) / 60
        assert mean == pytest.approx(test["ndcg@10"])
        assert not list((tmp_path / f"whole/arms/{name}").glob("checkpoint-*"))
    # The same rows: as many tokens are read, up to the shorter training.
    tokens = [arm["curve"][0][1] for arm in whole["arms"].values()]
    assert len(set(tokens)) == 1
    ranks = [load_file(tmp_path / f"whole/arms/{name}_2l/test_ranks.safetensors")["ranks"] for name in ARMS[:2]]
    difference = whole["differences"]["pretrained_2l - random_2l"]["ndcg@10"]
    expected = metric_values(ranks[0], "ndcg@10").mean() - metric_values(ranks[1], "ndcg@10").mean()
    assert difference["difference"] == pytest.approx(expected) and difference["low"] <= expected <= difference["high"]
    # There is no pretrained arm of one epoch.
    assert set(whole["differences"]) == {"pretrained_2l - random_2l", "pretrained_2l - three_layer"}
    assert (tmp_path / "whole/pretraining.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="output_dir: .*epochs was 2, is 3"):
        run(modules, places, tmp_path / "whole", monkeypatch, "--epochs", "3", arms=["pretrained"])


def test_search_suffixes_and_held_out_items(modules, places, tmp_path, monkeypatch, dataset):
    """The better learning rate on validation is taken; other tasks and items held out are further arms."""
    split = dataset.split(cold_items=0.2)
    index = build_index(embed_items(dataset), dataset.item_ids, levels=3, codebook_size=8)
    index.save_pretrained(tmp_path / "cold_index")
    assert split.is_cold.any()
    more = ["--search_learning_rates", "1e-7", "1e-2", "--search_epochs", "2", "--cold_items", "0.2"]
    more += ["--cold_index", str(tmp_path / "cold_index"), "--test_users", "30"]
    arms = ["pretrained_mut_1e", "random_seed3_1e_cold", "pretrained_1e_memory", "pretrained_1e_memory_rows2"]
    found = run(modules, places, tmp_path / "out", monkeypatch, *more, arms=arms)
    assert set(found["learning_rate_search"]) == {"pretrained_2l", "random_2l"}
    for tried in found["learning_rate_search"].values():
        assert set(tried) == {"1e-07", "0.01"} and len(set(tried.values())) == 2
    assert list(found["arms"]) == [
        *("pretrained_2l_mut_1e", "random_2l_seed3_1e_cold", "pretrained_2l_1e_memory"),
        "pretrained_2l_1e_rows2_memory",
    ]
    mut, cold, memory, rows = found["arms"].values()
    # Which one it is depends on the machine's rounding: two epochs of 60 users.
    for arm, kind in ((mut, "pretrained_2l"), (cold, "random_2l")):
        tried = found["learning_rate_search"][kind]
        assert arm["learning_rate"] == float(max(tried, key=tried.get))
    assert mut["tasks"] == {"seq": 1.0, "mut": 1.0} and mut["curve"][0][1] > memory["curve"][0][1]
    assert cold["seed"] == 3 and cold["test"]["groups"]["held-out item"]["num_users"] > 0
    assert memory["test"]["num_users"] == 30
    assert rows["warmup_rows_steps"] == 2 and rows["curve"] != memory["curve"]
    assert set(found["differences"]) == {"pretrained_2l_1e_rows2_memory - pretrained_2l_1e_memory"}


def test_shuffled_weights_have_the_same_numbers_elsewhere(modules, places, tmp_path):
    _, arms = modules
    folder = arms.starting_weights(arms.Arm("shuffled", 3, 1), str(places / "model"), tmp_path)
    before, after = (
        AutoModelForCausalLM.from_pretrained(each, dtype=torch.float32) for each in (places / "model", folder)
    )
    assert after.config.num_hidden_layers == 3 and before.config.num_hidden_layers == 4
    for name, value in after.named_parameters():
        old = before.get_parameter(name)
        assert torch.equal(value.flatten().sort()[0], old.flatten().sort()[0])
        assert torch.equal(value, old) is (value.dim() == 1), name
    random = arms.starting_weights(arms.Arm("random", 3, 1), str(places / "model"), tmp_path)
    drawn = AutoModelForCausalLM.from_pretrained(random)
    assert {name: p.shape for name, p in drawn.named_parameters()} == {n: p.shape for n, p in after.named_parameters()}
    assert not torch.equal(drawn.model.embed_tokens.weight, before.model.embed_tokens.weight)


def test_names(modules):
    _, arms = modules
    default = arms.Arm("pretrained", 10, 0)
    for name in ("pretrained", "random_30l_seed1", "three_layer_seed2", "shuffled_5e", "pretrained_mut_rows9_cold"):
        assert arms.Arm.parse(name, default, {"mut": {}}).name == name
    assert arms.Arm.parse("random", arms.Arm("pretrained", 30, 2), {}).name == "random_30l_seed2"
    assert arms.Arm.parse("three_layer", arms.Arm("pretrained", 30, 0), {}).layers == 3
    with pytest.raises(ValueError, match="arms: 'frozen' must begin with"):
        arms.Arm.parse("frozen", default, {})
    with pytest.raises(ValueError, match="unknown suffix 'asy'"):
        arms.Arm.parse("random_asy", default, {"mut": {}})
