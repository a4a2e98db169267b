"""``doctor``, and the plan that every training begins with."""

import re

import pytest
from transformers import LlamaConfig, MistralConfig, Qwen3Config

from hf_llmrec.cli import main
from hf_llmrec.generation import beam_tree
from hf_llmrec.indexing.build import build_index
from hf_llmrec.indexing.text_embeddings import embed_items
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer
from hf_llmrec.training.cpu_features import bf16_feature

# What the published checkpoints are like; there are no weights here.
LARGE = {
    "0.6b": Qwen3Config(
        vocab_size=151936,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=True,
        architectures=["Qwen3ForCausalLM"],
    ),
    "window": MistralConfig(hidden_size=64, sliding_window=16, architectures=["MistralForCausalLM"]),
    "short": LlamaConfig(hidden_size=64, max_position_embeddings=64, architectures=["LlamaForCausalLM"]),
}


@pytest.fixture(scope="module")
def places(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor")
    dataset.save(folder / "data")
    index = build_index(embed_items(dataset), dataset.item_ids, levels=3, codebook_size=8)
    index.save_pretrained(folder / "index")
    base = train_corpus_tokenizer([*dataset.titles, *dataset.descriptions], vocab_size=400)
    for name, config in LARGE.items():
        config.save_pretrained(folder / name)
        base.save_pretrained(folder / name)
    return folder


def plan(places, capsys, caplog, method: str, *options: str) -> str:
    """What ``doctor train METHOD`` says."""
    words = ["doctor", "train", method, "--dataset", places / "data", "--output_dir", places / "out"]
    words += ["--index", places / "index"] if method == "lcrec" else []
    with caplog.at_level("INFO", logger="hf_llmrec"):
        assert main([str(word) for word in (*words, *options)]) == 0
    assert not (places / "out").exists(), "nothing is trained or written"
    return "\n".join(
        record.getMessage() for record in caplog.records if record.name in ("hf_llmrec", "hf_llmrec.training.plan")
    )


def test_what_there_is(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for said in ("CPU cores", "torch 2.", "trl 1.", "deepspeed:", "lightgcn: there", "tracking: there", "cache: "):
        assert said in text
    assert re.search(r"GiB of memory, \d", text)
    assert "llama: by a tree of beams" in text and "qwen3: by a tree of beams" in text
    assert "without the tree" not in text


def test_a_transformers_that_the_tree_does_not_fit_is_reported(capsys, monkeypatch):
    reasons = {"LlamaForCausalLM": "its masks are round", "Qwen3ForCausalLM": None}
    monkeypatch.setattr(beam_tree, "tree_obstacle", lambda model, length: reasons[type(model).__name__])
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "llama: without the tree of beams" in text and "qwen3: by a tree of beams" in text
    assert re.search(r"warning: with transformers [\d.]+ LC-Rec on llama .*without the tree.*its masks are round", text)


def test_a_model_that_the_tree_does_not_fit_is_reported(places, capsys, caplog):
    assert "without the tree" not in plan(places, capsys, caplog, "lcrec", "--model_name_or_path", str(places / "0.6b"))
    said = plan(places, capsys, caplog, "lcrec", "--model_name_or_path", str(places / "window"))
    assert "MistralForCausalLM: its attention window (16) is shorter than prompt and index" in said
    assert "without the tree of beams" in said and "--eval_users" in said


@pytest.mark.parametrize("method", ["lcrec", "galrec"])
def test_a_run_on_another_machine_is_planned_without_weights(places, capsys, caplog, method):
    options = ["--model_name_or_path", str(places / "0.6b"), "--use_peft", "True", "--dtype", "bfloat16"]
    options += ["--lora_target_modules", "q_proj", "v_proj", "--tokens_per_batch", "200", "--eval_users", "5"]
    said = plan(
        *(places, capsys, caplog, method, *options),
        *("--assume", '{"processes": 2, "sharding": "zero2", "gpu_memory": 24, "bf16": true}'),
    )
    assert "2 processes on a GPU, bf16, zero2" in said
    count = re.search(r"([\d,]+) of ([\d,]+) parameters are trained", said)
    trained, every = (int(number.replace(",", "")) for number in count.groups())
    assert 596_000_000 < every < 640_000_000 and trained < 0.05 * every
    memory = re.search(r"estimated memory per process ([\d.]+) GiB of 24.0 GiB", said)
    assert 2 < float(memory[1]) < 20
    assert "may not fit" not in said


def test_warnings_name_their_remedies(places, capsys, caplog):
    options = ["--model_name_or_path", str(places / "0.6b"), "--max_history", "60", "--max_length", "128"]
    options += ["--tokens_per_batch", "9000", "--assume", '{"gpu_memory": 8}']
    said = plan(places, capsys, caplog, "lcrec", *options)
    assert "may not fit into 8.0 GiB: lower --tokens_per_batch" in said
    assert "raise --max_length or lower --max_history" in said
    assert "float32 on a GPU: --bf16 True" in said
    assert "fewer than 10 steps: lower --tokens_per_batch" in said
    caplog.clear()
    adapters = ["--use_peft", "True", "--lora_target_modules", "q_proj", "--train_index_rows", "none"]
    said = plan(places, capsys, caplog, "lcrec", *options[:2], *adapters, "--assume", '{"bf16": true}')
    assert "24 index tokens are not trained" in said and "--dtype bfloat16 halves them" in said
    caplog.clear()
    said = plan(places, capsys, caplog, "galrec", *options[:2], "--dtype", "bfloat16", "--max_length", "200")
    assert "lose small steps: train with --dtype float32" in said and "lower --max_history" in said


def test_ranking_with_a_whole_copy_is_counted(places, capsys, caplog):
    """0.6 billion parameters in float32, sharded over 64 GPUs: a step fits into 5 GiB, the whole copy does not."""
    options = ["--model_name_or_path", str(places / "0.6b"), "--tokens_per_batch", "100", "--max_history", "5"]
    options += ["--activation_checkpointing", "True"]
    assume = '{"processes": 64, "sharding": "%s", "gpu_memory": 5, "bf16": true}'
    said = plan(places, capsys, caplog, "lcrec", *options, "--assume", assume % "fsdp2")
    assert "while ranking 2.3, a full copy of the model included" in said
    small = plan(places, capsys, caplog, "lcrec", *options, "--assume", (assume % "fsdp2").replace("5,", "3,"))
    assert "may not fit into 3.0 GiB: ranking gathers the full model on every process, 2.2 GiB" in small
    caplog.clear()
    assert "while ranking" not in plan(places, capsys, caplog, "lcrec", *options, "--assume", assume % "zero2")


def test_a_run_from_scratch_is_planned(places, capsys, caplog):
    said = plan(places, capsys, caplog, "galrec", "--external", "both")
    assert "1 process on the CPU" in said and "estimated memory per process" in said
    assert 'the model is trained from scratch, whose defaults are template "bare", title_hops [], ' in said
    assert "learning_rate 0.002" in said and "1,011,074 of 1,011,074 parameters are trained" in said
    caplog.clear()
    said = plan(places, capsys, caplog, "galrec", "--model_name_or_path", str(places / "0.6b"), "--template", "bare")
    assert (
        "pretrained weights are tuned, whose defaults are title_hops [0], " in said and "learning_rate 0.0003" in said
    )


@pytest.mark.parametrize(
    "flags, feature",
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_bf16 amx_tile", "amx_bf16"),
        ("flags\t\t: fpu avx512f avx512_bf16", "avx512_bf16"),
        ("Features\t: fp asimd bf16 i8mm", "bf16"),
        ("flags\t\t: fpu avx2 avx512f", None),
    ],
)
def test_bf16_on_the_cpu_is_recommended_where_it_has_it(places, tmp_path, capsys, caplog, monkeypatch, flags, feature):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: some bf16 CPU\n{flags}\n")
    monkeypatch.setattr("hf_llmrec.training.cpu_features._CPUINFO", tmp_path / "cpuinfo")
    assert bf16_feature() == feature
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert (f"this CPU has {feature}: --bf16 True" in said) == (feature is not None)
    in_float32 = plan(places, capsys, caplog, "galrec", "--external", "text", "--bf16", "False")
    assert (f"this CPU has {feature}: --bf16 True takes less time" in in_float32) == (feature is not None)
    caplog.clear()
    in_bf16 = plan(places, capsys, caplog, "galrec", "--external", "text", "--bf16", "True")
    assert ("not known to have instructions for bf16" in in_bf16) == (feature is None)
    assert "threads, bf16" in in_bf16


def test_wrong_words(places, capsys, caplog):
    assert main(["doctor", "evaluate"]) == 1
    assert "doctor takes `train lcrec` or `train galrec`" in capsys.readouterr().err
    start = ["--dataset", str(places / "data"), "--index", str(places / "index"), "--output_dir", str(places / "out")]
    assert main(["doctor", "train", "lcrec", *start, "--assume", '{"gpus": 2}']) == 1
    assert "--assume knows processes, sharding" in capsys.readouterr().err
    assert main(["train", "lcrec", *start, "--assume", '{"processes": 2}']) == 1
    assert "--assume is for --dry_run" in capsys.readouterr().err
    assert main(["doctor", "train", "lcrec", *start, "--model_name_or_path", str(places / "short")]) == 1
    assert "longer than the 64 positions" in capsys.readouterr().err


def test_an_estimate_that_fails_ends_no_plan(places, capsys, caplog, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("no such operator")

    monkeypatch.setattr("hf_llmrec.training.plan.footprint", fail)
    said = plan(places, capsys, caplog, "lcrec")
    assert "could not be estimated: RuntimeError: no such operator" in said and "tokens per step" in said
