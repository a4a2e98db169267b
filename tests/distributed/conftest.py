"""Runs training recipes in processes of their own, as users do."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from hf_llmrec.indexing.build import build_index
from hf_llmrec.indexing.text_embeddings import embed_items
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "recipes/accelerate_configs"
LAUNCHERS = Path(__file__).parent / "launchers"
TINY = [
    # So many tokens give an even number of batches: one process that accumulates two sees what two processes see.
    *("--learning_rate", "0.01", "--tokens_per_batch", "320", "--max_length", "96"),
    *("--task_weights", '{"seq": 1.0, "mut": 0.2}', "--eval_users", "10", "--report_to", "none"),
    *("--use_cpu", "True", "--disable_tqdm", "True", "--logging_steps", "1", "--seed", "3"),
]
LORA = ["--use_peft", "True", "--lora_r", "4", "--lora_dropout", "0.0", "--lora_target_modules", "q_proj", "v_proj"]
# Words between python and the script.
Launcher = tuple[str, ...]
MODES = {"full": [], "lora": [*LORA, "--train_index_rows", "none"], "lora_rows": LORA}


@dataclass
class Recipe:
    """A training recipe on one small dataset: `train_lcrec.py`, or another one with its own options."""

    folder: Path
    script: str = "train_lcrec.py"
    options: tuple[str, ...] | None = None

    def command(self, output: Path, options: list[str], launcher: Launcher = ()) -> list[str]:
        lcrec = ["--index", str(self.folder / "index"), "--model_name_or_path", str(self.folder / "base"), *TINY]
        return [
            sys.executable,
            *launcher,
            str(ROOT / "recipes" / self.script),
            *("--dataset", str(self.folder / "data"), "--output_dir", str(output)),
            *(lcrec if self.options is None else self.options),
            *options,
        ]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "HF_HUB_OFFLINE": "1"}

    def losses(self, output: Path, options: list[str], launcher: Launcher = ()) -> dict[int, float]:
        """Train to the end; the loss of every optimizer step."""
        done = subprocess.run(
            self.command(output, options, launcher),
            capture_output=True,
            text=True,
            env=self.environment(),
            timeout=540,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        log = json.loads((output / "training_report.json").read_text())["log"]
        return {entry["step"]: entry["loss"] for entry in log if "loss" in entry}


@pytest.fixture(scope="session")
def recipe(dataset, tmp_path_factory) -> Recipe:
    folder = tmp_path_factory.mktemp("distributed")
    dataset.save(folder / "data")
    index = build_index(embed_items(dataset), dataset.item_ids, levels=3, codebook_size=8)
    index.save_pretrained(folder / "index")
    # A checkpoint to start from: under ZeRO-3 random weights are drawn shard by shard, so that runs from a
    # configuration start elsewhere than in one process.
    base = train_corpus_tokenizer([*dataset.titles, *dataset.descriptions], vocab_size=400)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    for name, tied in (("base", True), ("untied", False)):
        base.save_pretrained(folder / name)
        torch.manual_seed(0)
        backbone = LlamaForCausalLM(LlamaConfig(vocab_size=len(base), tie_word_embeddings=tied, **sizes))
        backbone.save_pretrained(folder / name)
    return Recipe(folder)


def launch(config: Path) -> Launcher:
    return ("-m", "accelerate.commands.launch", "--config_file", str(config))


@pytest.fixture(scope="session")
def ddp() -> Launcher:
    return launch(CONFIGS / "ddp_cpu.yaml")


def on_two_cpus(folder: Path, name: str, half: bool = False) -> Path:
    """A published configuration on two CPU processes, in float32 or as it stands."""
    config = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    config.update(use_cpu=True, num_processes=2, mixed_precision="bf16" if half else "no")
    if "deepspeed_config" in config:
        config["deepspeed_config"]["zero_force_ds_cpu_optimizer"] = False
    path = folder / f"{name}_cpu.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="session")
def zero2(tmp_path_factory) -> Launcher:
    return launch(on_two_cpus(tmp_path_factory.mktemp("zero2"), "zero2"))


@pytest.fixture(scope="session")
def zero3(tmp_path_factory) -> Launcher:
    config = on_two_cpus(tmp_path_factory.mktemp("zero3"), "zero3")
    return (*launch(config), str(LAUNCHERS / "token_rows_on_cpu.py"))


@pytest.fixture(scope="session")
def fsdp2(tmp_path_factory) -> Launcher:
    config = on_two_cpus(tmp_path_factory.mktemp("fsdp2"), "fsdp2")
    return (*launch(config), str(LAUNCHERS / "fsdp2_on_cpu.py"))
