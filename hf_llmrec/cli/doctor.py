"""``doctor``: what there is to train with, what is missing, and what a training would take."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from ..training.cpu_features import bf16_feature
from .commands import COMMANDS

_TEXT = """Prints devices, versions, extras and how the Hub is reached, with warnings and their remedies. With a
training command after it, what that run would take: batches, trained parameters, memory and compute, without weights or
training."""
_EXAMPLE = """another machine: --assume '{"processes": 8, "sharding": "zero3", "gpu_memory": 80, "bf16": true}'"""
# Optional packages that no extra of ours names, and what they are for.
_FURTHER = {"flash-attn": "--attn_implementation flash_attention_2", "bitsandbytes": "--load_in_4bit"}
# What a checkpoint of a 1B-parameter model takes, optimizer included: below it a run ends at its first save.
_LITTLE_DISK = 20 * 2**30


def parser() -> argparse.ArgumentParser:
    """Its options are those of the training command that it is given."""
    found = argparse.ArgumentParser(prog="hf-llmrec doctor", description=_TEXT, epilog=_EXAMPLE)
    found.add_argument(
        "training", nargs=argparse.REMAINDER, metavar="train lcrec|galrec ...", help="a training command with options"
    )
    return found


def main(argv: list[str] | None = None) -> int:
    words = parser().parse_args(argv).training
    if words:
        name = " ".join(words[:2])
        if name not in ("train lcrec", "train galrec"):
            raise ValueError(f"doctor takes `train lcrec` or `train galrec` with its options, not {' '.join(words)!r}")
        return import_module(f"hf_llmrec.cli.{COMMANDS[name].module}").main([*words[2:], "--dry_run", "True"])
    obstacles = _obstacles()
    ways = [f"{name}: {'without the' if why else 'by a'} tree of beams" for name, why in obstacles.items()]
    parts = {"machine": _machine(), "packages": _packages(), "extras": _extras(), "Hub": _hub(), "decoding": ways}
    for title, lines in parts.items():
        print(title)
        for line in lines:
            print(f"  {line}")
    for line in [*_warnings(), *(_decoding_warning(name, why) for name, why in obstacles.items() if why)]:
        print(f"warning: {line}")
    return 0


def _machine() -> list[str]:
    import psutil
    import torch

    from ..training.machine_config import accelerator_memory, accelerator_name, accelerator_type

    memory = psutil.virtual_memory()
    lines = [
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        f"{os.cpu_count()} CPU cores, PyTorch uses {torch.get_num_threads()}",
        f"{memory.total / 2**30:.1f} GiB of memory, {memory.available / 2**30:.1f} free",
        f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB free on this disk",
    ]
    if accelerator_type() is None:
        feature = bf16_feature()
        half = f"the CPU has {feature}: --bf16 True" if feature else "the CPU has no instructions for bf16"
        return [*lines, half, "no GPU that PyTorch sees"]
    if accelerator_type() != "cuda":
        return [*lines, f"{accelerator_type()}: {accelerator_name()}, {accelerator_memory() / 2**30:.1f} GiB"]
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        half = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        name = torch.cuda.get_device_name(number)
        lines.append(f"GPU {number}: {name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, {half}")
    return lines


def _packages() -> list[str]:
    needed = [Requirement(line) for line in requires("hf_llmrec") or []]
    names = ["hf_llmrec", *(each.name for each in needed if each.marker is None)]
    return [f"{name} {version(name)}" for name in names]


def _extras() -> list[str]:
    """Which extras are whole, and how the others are installed."""
    lines = []
    for extra in metadata("hf_llmrec").get_all("Provides-Extra") or []:
        missing = [name for name in _needed_by(extra) if not _is_there(name)]
        flags = "--no-build-isolation " if extra == "deepspeed" else ""
        how = f"pip install {flags}'hf_llmrec[{extra}]' (lacks {', '.join(missing)})" if missing else "there"
        lines.append(f"{extra}: {how}")
    return lines + [f"{name} ({use}): {'there' if _is_there(name) else 'not there'}" for name, use in _FURTHER.items()]


def _needed_by(extra: str, package: str = "hf_llmrec") -> list[str]:
    """What an extra of a package brings; extras of other packages are looked into."""
    parsed = [Requirement(line) for line in requires(package) or []]
    found = [each for each in parsed if each.marker is not None and each.marker.evaluate({"extra": extra})]
    further = [each for each in found if each.extras and _is_there(each.name)]
    names = [name for each in further for inner in each.extras for name in _needed_by(inner, each.name)]
    return [*(each.name for each in found), *names]


def _is_there(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _hub() -> list[str]:
    from huggingface_hub import constants, get_token

    return [
        f"{constants.ENDPOINT}, {'offline (HF_HUB_OFFLINE)' if constants.HF_HUB_OFFLINE else 'online'}",
        f"token: {'there' if get_token() else 'none: `hf auth login`, for gated and private models and to push'}",
        f"cache: {constants.HF_HUB_CACHE}",
    ]


def _obstacles() -> dict[str, str | None]:
    """Per architecture that `--architecture` knows, what keeps this transformers from decoding by a tree of beams."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from ..generation.beam_tree import tree_obstacle
    from ..training.backbones import ARCHITECTURES

    sizes = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8}
    models = {
        name: AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **sizes)).eval() for name in ARCHITECTURES
    }
    return {name: tree_obstacle(model, 16) for name, model in models.items()}


def _decoding_warning(architecture: str, reason: str) -> str:
    return (
        f"with transformers {version('transformers')} LC-Rec on {architecture} ranks without the tree of beams, which "
        f"takes several times longer ({reason}): install the versions of constraints.txt, or a newer hf_llmrec"
    )


def _warnings() -> list[str]:
    from ..training.machine_config import accelerator_type

    lines, has_gpu = [], accelerator_type() is not None
    if not has_gpu:
        if shutil.which("nvidia-smi"):
            lines.append("there is an NVIDIA driver, but PyTorch has no CUDA: install a build with it (pytorch.org)")
        else:
            lines.append("without a GPU, train small backbones (--backbone tiny), not pretrained language models")
        if bf16_feature():
            lines.append(f"this CPU has {bf16_feature()}: --bf16 True trains language models in less time")
    if shutil.disk_usage(Path.cwd()).free < _LITTLE_DISK:
        lines.append("less than 20 GiB free here: checkpoints go to --output_dir; --save_total_limit 1 keeps one")
    if int(os.environ.get("OMP_NUM_THREADS") or 0) == 1 and not has_gpu and (os.cpu_count() or 1) > 1:
        lines.append("OMP_NUM_THREADS=1 keeps PyTorch on one core: unset it")
    return lines


if __name__ == "__main__":
    sys.exit(main())
