"""What the recipe configurations for pretrained models take: counted, not run.

python benchmarks/plans.py --dataset D [--configs PATTERN] [--output results/benchmarks/plans.json]

For each configuration and each accelerate configuration that its header names: the plan of ``hf-llmrec doctor train``,
with the published checkpoint's shape (no weights are read) and a tokenizer of 32,000 words trained on the data set's
texts, since those of the checkpoints are not at hand. Hours are the counted operations at `SHARE` of the GPUs' bf16
peak. The figures are written into the configurations' headers, too. With ``--configs smollm2*`` only such
configurations are counted, and the others stay as they are.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

from transformers import LlamaConfig, Qwen3Config
from trl import ModelConfig, TrlParser

from hf_llmrec.cli import train_galrec, train_lcrec
from hf_llmrec.cli.galrec_options import GALRecArguments
from hf_llmrec.cli.lcrec_options import LCRecArguments
from hf_llmrec.cli.results import run_facts
from hf_llmrec.data.files import read_json, write_json
from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.indexing.build import build_index
from hf_llmrec.indexing.text_embeddings import embed_items
from hf_llmrec.methods.galrec.trainer_config import GALRecTrainingConfig
from hf_llmrec.methods.lcrec.trainer_config import LCRecTrainingConfig
from hf_llmrec.prompting.training_text import corpus_texts
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer
from hf_llmrec.training.footprint import GIB

ROOT = Path(__file__).parents[1]
# Of the peak: what training of language models of this size usually reaches, or somewhat less.
SHARE = 0.35
# Shapes of the published checkpoints (their config.json).
CHECKPOINTS = {
    "HuggingFaceTB/SmolLM2-135M": LlamaConfig(
        **{"vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30},
        **{"num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "tie_word_embeddings": True},
        **{"max_position_embeddings": 8192, "architectures": ["LlamaForCausalLM"]},
    ),
    "Qwen/Qwen3-0.6B": Qwen3Config(
        **{"vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28},
        **{"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": True},
        **{"max_position_embeddings": 40960, "architectures": ["Qwen3ForCausalLM"]},
    ),
    "meta-llama/Llama-3.2-1B": LlamaConfig(
        **{"vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16},
        **{"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "tie_word_embeddings": True},
        **{"max_position_embeddings": 131072, "architectures": ["LlamaForCausalLM"]},
    ),
    "Qwen/Qwen3-8B": Qwen3Config(
        **{"vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36},
        **{"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": False},
        **{"max_position_embeddings": 40960, "architectures": ["Qwen3ForCausalLM"]},
    ),
}
# GPU (or CPU), its memory in GiB, its dense bf16 peak in operations per second; how many.
_CPU, _24GB, _H100 = ("CPU with amx_bf16", 16, 0.83e12, 1), ("RTX 4090", 24, 165e12, 1), ("H100", 80, 989e12, 1)
MACHINES = {
    "smollm2_135m_cpu_full": _CPU,
    "smollm2_135m_cpu_lora": _CPU,
    "smollm2_135m_24gb_full": _24GB,
    "smollm2_135m_24gb_lora": _24GB,
    "smollm2_135m_24gb_qlora": _24GB,
    "smollm2_135m_h100_full": _H100,
    "smollm2_135m_h100_lora": _H100,
    "qwen3_0.6b_lora": ("RTX 4090", 24, 165e12, 1),
    "llama3.2_1b_full": ("RTX 4090", 24, 165e12, 2),
    "qwen3_8b_full": ("H100", 80, 989e12, 8),
}
SHARDING = {"single": "none", "zero2": "zero2", "zero3": "zero3", "fsdp2": "fsdp2"}


def plan(config: Path, launcher: str, dataset: str, folder: Path) -> dict:
    """The figures of one configuration."""
    method = config.parent.name
    gpu, memory, peak, count = MACHINES[config.stem]
    name = re.search(r"model_name_or_path: (\S+)", config.read_text())[1]
    on_gpu = "" if gpu.startswith("CPU") else f'"gpu_memory": {memory}, '
    assume = f'{{"processes": {count}, "sharding": "{SHARDING[launcher]}", {on_gpu}"bf16": true}}'
    words = ["--config", str(config), "--model_name_or_path", str(folder / name), "--dataset", dataset]
    words += ["--output_dir", str(folder / "out"), "--use_cpu", "True", "--dry_run", "True", "--assume", assume]
    if method == "lcrec":
        run, classes = train_lcrec.run, (LCRecArguments, LCRecTrainingConfig, ModelConfig)
        words += ["--index", str(folder / "index")]
    else:
        run, classes = train_galrec.run, (GALRecArguments, GALRecTrainingConfig, ModelConfig)
    figures = run(*TrlParser(classes).parse_args_and_config(words))
    return {
        "config": str(config.relative_to(ROOT)),
        "accelerate": launcher,
        "gpu": gpu,
        "gpus": count,
        "gpu_memory_gib": memory,
        "memory_gib": round(figures["memory"] / GIB, 1),
        "hours": round(figures["flops"] / (count * peak * SHARE) / 3600, 2),
        "epochs": round(figures["steps"] / figures["steps_per_epoch"]),
        "million_tokens_per_epoch": round(figures["tokens_per_step"] * figures["steps_per_epoch"] / 1e6, 1),
        "figures": {key: round(value) for key, value in figures.items()},
    }


def header(found: list[dict], dataset: str) -> str:
    """The line of a configuration that says what it takes."""
    first = found[0]
    memory = ", ".join(f"{each['memory_gib']} GiB with {each['accelerate']}.yaml" for each in found)
    if len(found) == 1:
        memory = f"{first['memory_gib']} GiB"
    memory += "" if first["gpu"].startswith("CPU") else " per GPU"
    return (
        f"# Counted: {memory}; {first['epochs']} epochs of {dataset},\n"
        f"# {first['million_tokens_per_epoch']} million tokens each, take {first['hours']} h at {SHARE:.0%} of the "
        f"peak of {first['gpus']} x {first['gpu']}; see docs/scale.md.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--configs", default="*", help="file names of configurations, without .yaml")
    parser.add_argument("--output", default=str(ROOT / "results/benchmarks/plans.json"))
    options = parser.parse_args()
    dataset = RecDataset.load(options.dataset)
    plans: list[dict] = []
    before = read_json(options.output)["plans"] if Path(options.output).is_file() else []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        tokenizer = train_corpus_tokenizer(corpus_texts(dataset, dataset.split()), vocab_size=32_000)
        build_index(embed_items(dataset), dataset.item_ids).save_pretrained(folder / "index")
        for name, shape in CHECKPOINTS.items():
            shape.save_pretrained(folder / name)
            tokenizer.save_pretrained(folder / name)
        for config in sorted((ROOT / "recipes/configs").glob("*/*.yaml")):
            name = str(config.relative_to(ROOT))
            if config.stem not in MACHINES:
                continue
            if not config.match(f"{options.configs}.yaml"):
                plans += [each for each in before if each["config"] == name]
                continue
            text = config.read_text()
            launchers = re.findall(
                r"(single|zero2|zero3|fsdp2)\.yaml", text.split("# Counted")[0].split("model_name")[0]
            )
            found = [plan(config, launcher, options.dataset, folder) for launcher in launchers]
            plans += found
            config.write_text(re.sub(r"# (PLAN|Counted: .*\n# .*)\n", header(found, dataset.name), text, count=1))
    facts = {"dataset": dataset.name, "share_of_peak": SHARE, "tokenizer_words": len(tokenizer), **run_facts()}
    write_json(Path(options.output), {"plans": plans, **facts})
    for each in plans:
        print({key: value for key, value in each.items() if key != "figures"})


if __name__ == "__main__":
    main()
