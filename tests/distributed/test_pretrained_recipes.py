"""The recipe configurations for pretrained models, each as it stands, on a tiny model of its architecture.

Launched with the accelerate configuration that it names, sizes overridden on the command line: load, add index tokens,
train, save, resume, evaluate, load the merged export with plain transformers.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, Qwen3Config

from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer

from .conftest import LAUNCHERS, ROOT, Recipe, launch, on_two_cpus

pytestmark = pytest.mark.slow
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 2048}
# Of the published checkpoints: the architecture, and whether input and output embeddings are one matrix.
CHECKPOINTS = {
    "HuggingFaceTB/SmolLM2-135M": (LlamaConfig, True),
    "Qwen/Qwen3-0.6B": (Qwen3Config, True),
    "meta-llama/Llama-3.2-1B": (LlamaConfig, True),
    "Qwen/Qwen3-8B": (Qwen3Config, False),
}
CONFIGS = [path for kind in ("lora", "full") for path in sorted((ROOT / "recipes/configs").glob(f"*/*_{kind}.yaml"))]
CHAT = "{% for turn in messages %}<|turn|>{{ turn.content }}<|done|>{% endfor %}"
CHAT += "{% if add_generation_prompt %}<|turn|>{% endif %}"
# Sizes of the machine and of the data; everything else is the configuration's.
TINY = [
    *("--max_length", "160", "--max_history", "6", "--tokens_per_batch", "300", "--gradient_accumulation_steps", "1"),
    *("--bf16", "True"),  # what it is where there is a GPU
    *("--eval_users", "10", "--logging_steps", "1", "--use_cpu", "True", "--disable_tqdm", "True"),
    *("--eval_strategy", "steps", "--eval_steps", "2", "--save_strategy", "steps", "--save_steps", "2"),
]
LCREC = ["--num_beams", "10"]
GALREC = ["--external", "text", "--max_length", "400", "--num_neighbors", "3", "--tokens_per_batch", "60"]


@pytest.fixture(scope="module")
def checkpoints(recipe, dataset) -> Path:
    folder = recipe.folder / "checkpoints"
    tokenizer = train_corpus_tokenizer([*dataset.titles, *dataset.descriptions], vocab_size=400)
    tokenizer.add_special_tokens({"extra_special_tokens": [AddedToken("<|turn|>"), AddedToken("<|done|>")]})
    tokenizer.chat_template = CHAT
    for name, (config, tied) in CHECKPOINTS.items():
        torch.manual_seed(0)
        # As published, in half precision; and with more rows than words, as some are.
        sizes = {**SIZES, "num_hidden_layers": 11} if "SmolLM2" in name else SIZES  # some keep the first 10
        made = config(vocab_size=len(tokenizer) + 7, tie_word_embeddings=tied, **sizes)
        AutoModelForCausalLM.from_config(made).to(torch.bfloat16).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder


def launcher(name: str, folder: Path):
    """The published accelerate configuration, on the CPU, in as many processes as fit."""
    if name == "single":
        return launch(ROOT / "recipes/accelerate_configs/single.yaml")
    shims = {"zero3": ("token_rows_on_cpu.py",), "fsdp2": ("fsdp2_on_cpu.py",)}.get(name, ())
    return (*launch(on_two_cpus(folder, name, half=True)), *(str(LAUNCHERS / shim) for shim in shims))


RUNS = [
    (config, name)
    for config in CONFIGS
    for name in re.findall(r"(single|zero2|zero3|fsdp2)\.yaml", config.read_text().split("# Counted")[0])
]


def test_all_are_here():
    assert len(CONFIGS) == 18 and len(RUNS) == 20
    assert {yaml.safe_load(config.read_text())["model_name_or_path"] for config in CONFIGS} == set(CHECKPOINTS)


@pytest.mark.parametrize("config, name", RUNS, ids=[f"{c.parent.name}-{c.stem}-{name}" for c, name in RUNS])
def test_it_runs_from_the_checkpoint_to_the_export(recipe, checkpoints, tmp_path, config, name):
    method, values = config.parent.name, yaml.safe_load(config.read_text())
    base = checkpoints / values["model_name_or_path"]
    own = ("--index", str(recipe.folder / "index"), *LCREC) if method == "lcrec" else GALREC
    chat = ("--use_chat_template", "True") if name in ("single", "fsdp2") else ()
    options = ("--config", str(config), "--model_name_or_path", str(base), *TINY, *own, *chat)
    run = Recipe(recipe.folder, f"train_{method}.py", options)
    output, how = tmp_path / "out", launcher(name, tmp_path)
    run.losses(output, ["--max_steps", "2"], how)
    assert (output / "checkpoint-2/trainer_state.json").exists()
    losses = run.losses(output, ["--max_steps", "4", "--resume", "True"], how)
    state = json.loads((output / "checkpoint-4/trainer_state.json").read_text())
    assert Path(state["best_model_checkpoint"]).is_dir(), "which every process loads at the end"
    assert sorted(losses) == [1, 2, 3, 4] and all(0 < loss < 20 for loss in losses.values())

    report = json.loads((output / "training_report.json").read_text())
    words = ["--model", str(output), "--dataset", str(recipe.folder / "data"), "--split", "validation", "--users", "10"]
    command = [sys.executable, str(ROOT / "recipes/evaluate.py"), *words, "--output", str(tmp_path / "F.json")]
    done = subprocess.run(command, capture_output=True, text=True, env=run.environment(), timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "F.json").read_text())
    assert found["num_users"] == report["validation"]["num_users"] == 10

    tied = CHECKPOINTS[values["model_name_or_path"]][1]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(output), AutoTokenizer.from_pretrained(output)
    assert model.config.get_text_config().tie_word_embeddings == tied and model.dtype == torch.bfloat16
    assert model.get_input_embeddings().weight.shape[0] >= len(tokenizer)
    names = {path.suffix for path in output.iterdir() if path.is_file()}
    code = {".py"} if method == "galrec" else set()  # its own, to be loaded without the package
    assert names == {".json", ".safetensors", ".jinja", *code}, "no pickles"
    assert not (output / "adapter_config.json").exists()
    before = AutoModelForCausalLM.from_pretrained(base)
    assert model.config.get_text_config().num_hidden_layers == values.get("num_layers", before.config.num_hidden_layers)
    stock = model if method == "lcrec" else model.model.language_model
    assert type(stock).__module__ == type(before).__module__, "a stock architecture"
    trained = dict(stock.named_parameters())
    inner = {key.removeprefix("model.") if method == "galrec" else key: p for key, p in before.named_parameters()}
    layer = next(key for key in trained if key.endswith("layers.0.self_attn.q_proj.weight"))
    assert not torch.equal(trained[layer], inner[layer]), "merged: what was tuned is in the weights"
