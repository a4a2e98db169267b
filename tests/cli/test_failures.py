"""A command that fails says in one line what to do, before the trace; the failures are real where they can be."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from trl import ModelConfig

from hf_llmrec.cli import COMMANDS, main
from hf_llmrec.cli.commands import GROUPS
from hf_llmrec.cli.failures import as_option, remedy
from hf_llmrec.cli.remedies import EXTRAS, MEMORY, PRECISION
from hf_llmrec.indexing.build import build_index
from hf_llmrec.indexing.text_embeddings import embed_items
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer
from hf_llmrec.training.plan import REMEDIES

ROOT = Path(__file__).parents[2]
TINY = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
CPU = ["--use_cpu", "True", "--report_to", "none", "--max_steps", "1"]
# Commands after each other, each with its trace, in a process that finds no module of some names. Whoever looks for
# them, by import, by specification or by version, gets what a machine without them gives.
WITHOUT = """
import json, sys, traceback
from importlib.machinery import PathFinder
missing, find, distributions = set(sys.argv[1].split()), PathFinder.find_spec, PathFinder.find_distributions
PathFinder.find_spec = classmethod(
    lambda cls, name, *where: None if name.partition(".")[0] in missing else find(name, *where)
)
PathFinder.find_distributions = classmethod(
    lambda cls, *context: [
        each for each in distributions(*context) if each.metadata["Name"].replace("-", "_").lower() not in missing
    ]
)
from hf_llmrec.cli import main
for words in json.loads(sys.argv[2]):
    try:
        main(words)
    except Exception:  # whatever it is: its trace is what the tests read
        traceback.print_exc()
    print("END", file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="module")
def folders(dataset, tmp_path_factory):
    """A dataset, its index, and a language model with its tokenizer."""
    root = tmp_path_factory.mktemp("failures")
    dataset.save(root / "data")
    index = build_index(embed_items(dataset), dataset.item_ids, levels=3, codebook_size=8)
    index.save_pretrained(root / "index")
    tokenizer = train_corpus_tokenizer(dataset.titles, vocab_size=400)
    tokenizer.save_pretrained(root / "base")
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **TINY)).save_pretrained(root / "base")
    (root / "encoder").mkdir()
    (root / "encoder" / "modules.json").write_text("[]")
    return root


def lcrec(folders, *options: str) -> list[str]:
    places = ["--dataset", str(folders / "data"), "--index", str(folders / "index")]
    backbone = [] if "--model_name_or_path" in options else ["--backbone_overrides", json.dumps(TINY)]
    return [*places, "--output_dir", str(folders / "out"), *backbone, *options]


def recipe(script: str, *words: str, **environment: str) -> tuple[int, str]:
    """(exit code, what it says) of a recipe, as users run it."""
    command = [sys.executable, str(ROOT / "recipes" / script), *words]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=240, cwd=ROOT
    )
    return done.returncode, done.stderr


def line_before_the_trace(said: str) -> str:
    """The one line, after a check that there is one and that the trace follows it."""
    found = [line for line in said.splitlines() if line.startswith("hf-llmrec ")]
    assert len(found) == 1, said[-3000:]
    assert "Traceback (most recent call last)" not in said[: said.index(found[0])], said
    assert "Traceback (most recent call last)" in said[said.index(found[0]) :], said
    return found[0]


def test_memory_that_the_machine_does_not_have(folders):
    """No machine has 10^15 rows of 16 numbers; the allocator says so at once."""
    sizes = json.dumps({**TINY, "intermediate_size": 10**15})
    status, said = recipe("train_lcrec.py", *lcrec(folders, "--backbone_overrides", sizes, *CPU))
    line = line_before_the_trace(said)
    assert status == 1 and "DefaultCPUAllocator" in said
    assert line.startswith("hf-llmrec train lcrec: out of memory: lower --tokens_per_batch") and "GPU:" not in line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "out of memory on the GPU: "),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), "on the GPU: "),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"), "on the GPU: "),
    ],
    ids=["allocator", "cublas", "driver"],
)
@pytest.mark.parametrize("command", ["train galrec", "evaluate", "recommend"])
def test_memory_of_a_gpu(command, error, said, monkeypatch, capsys):
    def fail(words):
        raise error

    monkeypatch.setattr(f"hf_llmrec.cli.{COMMANDS[command].module}.main", fail)
    with pytest.raises(type(error)):
        main(command.split())
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"hf-llmrec {command}: ") and said in line
    assert MEMORY.get(command, "CUDA_VISIBLE_DEVICES= (empty)") in line


def test_memory_that_numpy_asks_for():
    import numpy as np

    with pytest.raises(MemoryError) as error:
        np.empty(2**55)
    assert remedy(error.value, "evaluate").startswith("out of memory: lower --batch_size")


def test_packages_that_are_not_installed(folders, tmp_path):
    missing = (
        "optuna deepspeed sentence_transformers torch_geometric liger_kernel wandb tensorboard tensorboardX flash_attn"
    )
    config = tmp_path / "deepspeed.json"
    config.write_text('{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto"}')
    train, data = ["train", "lcrec"], ["--dataset", str(folders / "data"), "--output_dir", str(tmp_path / "out")]
    base = ["--model_name_or_path", str(folders / "base")]
    cases = [
        (["build-index", *data, "--text_encoder", str(folders / "encoder")], "pip install 'hf_llmrec[text]'"),
        (["train", "lightgcn", *data, *CPU], "pip install 'hf_llmrec[lightgcn]'"),
        (["tune", "sasrec", *data, *CPU, "--num_trials", "2"], "pip install 'hf_llmrec[tune]'"),
        ([*train, *lcrec(folders, *CPU, "--use_liger_kernel", "True")], "pip install 'hf_llmrec[liger]'"),
        ([*train, *lcrec(folders, *CPU[:2], *CPU[4:], "--report_to", "wandb")], "pip install wandb"),
        ([*train, *lcrec(folders, *CPU[:2], *CPU[4:], "--report_to", "tensorboard")], "pip install tensorboard"),
        (
            [*train, *lcrec(folders, *CPU, *base, "--attn_implementation", "flash_attention_2")],
            "pip install --no-build-isolation flash-attn",
        ),
        (
            [*train, *lcrec(folders, *CPU, "--deepspeed", str(config))],
            "pip install --no-build-isolation 'hf_llmrec[deepspeed]'",
        ),
    ]
    command = [sys.executable, "-c", WITHOUT, missing, json.dumps([words for words, _ in cases])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=240)
    said = done.stderr.split("END\n")
    assert done.returncode == 0 and len(said) == len(cases) + 1, done.stderr[-3000:]
    for text, (words, expected) in zip(said, cases, strict=False):
        line = line_before_the_trace(text)
        assert line.startswith("hf-llmrec ") and line.endswith(expected), (words, line)


def test_a_version_in_a_hint_is_quoted():
    """As transformers words it: a shell would write to a file named =0.46.1."""
    error = ImportError("Using `bitsandbytes` 4-bit quantization requires it: `pip install -U bitsandbytes>=0.46.1`")
    assert remedy(error, "train lcrec").endswith("pip install -U 'bitsandbytes>=0.46.1'")


def test_a_package_that_is_there_is_not_missing(monkeypatch):
    """Another version of it, say, without what is imported."""
    monkeypatch.setitem(EXTRAS, "torch", "text")
    with pytest.raises(ImportError) as error:
        from torch import no_such_name  # noqa: F401
    assert remedy(error.value, "train lcrec") is None


def test_a_module_that_nobody_can_install_is_no_known_failure():
    with pytest.raises(ModuleNotFoundError) as error:
        import_module("hf_llmrec.no_such_module")
    assert remedy(error.value, "train lcrec") is None


def test_an_index_of_another_catalogue_is_one_line(folders):
    words = ["--dataset", "demo", "--index", str(folders / "index"), "--output_dir", str(folders / "out"), *CPU]
    status, said = recipe("train_lcrec.py", *words)
    line = said.strip().splitlines()[-1]
    assert status == 1 and "Traceback" not in said
    assert line.startswith(f"hf-llmrec train lcrec: --index {folders / 'index'} was built for another catalogue")
    assert line.endswith("its rows are not the items of this dataset; make it again from this one")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("max_history must be at least 1, got 0", "--max_history must be at least 1, got 0"),
        ("index shop/index was built for another catalogue", "--index shop/index was built for another catalogue"),
        ("backbone: not a size", "--backbone: not a size"),
        ("index of another shop", "index of another shop"),  # a word, not a parameter
        ("resume it later", "resume it later"),
        ("no_option must be", "no_option must be"),
        ("shop/items.parquet, row 3: no item_id", "shop/items.parquet, row 3: no item_id"),
    ],
)
def test_what_the_library_says_of_a_parameter_is_said_of_the_option(text, expected):
    assert as_option(text, COMMANDS["train lcrec"], ["--index", "shop/index"]) == expected


def test_bf16_on_a_gpu_that_lacks_it(folders, capsys, monkeypatch):
    monkeypatch.setattr("hf_llmrec.training.machine_config.accelerator_type", lambda: "cuda")
    monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: False)
    with pytest.raises(ValueError, match="bf16"):
        main(["train", "lcrec", *lcrec(folders, "--bf16", "True")])
    assert capsys.readouterr().err.strip().endswith(PRECISION["doesn't support bf16/gpu"])


@pytest.mark.slow
def test_bf16_of_a_published_configuration_without_a_gpu(folders):
    """What DeepSpeed is configured for and what a machine without a GPU trains in do not fit."""
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1"]
    launch += ["--config_file", str(ROOT / "recipes/accelerate_configs/zero2.yaml")]
    command = [*launch, str(ROOT / "recipes/train_lcrec.py"), *lcrec(folders, *CPU[2:], "--bf16", "False")]
    environment = {**os.environ, "DS_ACCELERATOR": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240, cwd=ROOT)
    assert done.returncode != 0
    assert f"hf-llmrec train lcrec: {PRECISION['ds bf16.enabled']}" in done.stderr.splitlines()


def test_an_unknown_failure_is_its_trace(monkeypatch, capsys):
    def fail(words):
        raise RuntimeError("nobody knows this one")

    monkeypatch.setattr("hf_llmrec.cli.train_lcrec.main", fail)
    with pytest.raises(RuntimeError, match="nobody knows"):
        main(["train", "lcrec"])
    assert not capsys.readouterr().err


def test_causes_that_go_round_end():
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    assert remedy(one, "evaluate") is None


def options_of(name: str) -> set[str]:
    command = COMMANDS[name]
    if not command.options:
        parser = import_module(f"hf_llmrec.cli.{command.module}").parser()
        return {word for action in parser._actions for word in action.option_strings}
    places = [place.partition(":") for place in command.options]
    kinds = [getattr(import_module(f"hf_llmrec.{module}"), kind) for module, _, kind in places]
    kinds += [ModelConfig] * ("use_peft" in dict(command.also))
    return {f"--{field.name}" for kind in kinds for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_remedy_names_options_that_the_command_has(name):
    texts = [
        MEMORY.get(name, ""),
        REMEDIES if name in ("train lcrec", "train galrec") else "",
        *(PRECISION.values() if name.startswith("train ") else ()),
    ]
    named = set(re.findall(r"--[a-z_0-9]+", " ".join(texts)))
    assert named <= options_of(name), named - options_of(name)
    assert bool(named) == (name in {"evaluate", "ablate", "annotate", "build-index"} or name.startswith("train "))


def test_a_remedy_names_commands_extras_and_files_that_exist():
    assert set(MEMORY) <= set(COMMANDS)
    text = " ".join(MEMORY.values())
    files = set(re.findall(r"recipes/[\w./]+\w", text))
    assert files and all((ROOT / file).is_file() for file in files)
    assert {*re.findall(r"`hf-llmrec ([a-z-]+)", text)} <= set(COMMANDS)
    asked = [line.replace("-", "_").replace('"', "'") for line in metadata.requires("hf_llmrec")]
    for module, extra in EXTRAS.items():
        assert any(line.startswith(module) and line.endswith(f"extra == '{extra}'") for line in asked), module


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "recipes").glob("*.py")))
def test_a_recipe_is_a_command(script, monkeypatch):
    """Each goes through the one place that tells of failures."""
    words = re.search(r"main\(\[(.+), \*sys\.argv\[1:\]\]\)", (ROOT / "recipes" / script).read_text())
    assert words is not None and " ".join(re.findall(r'"([^"]+)"', words[1])) in {*COMMANDS, *GROUPS}
