"""``doctor``: report devices, packages and what is missing, and estimate what a training run takes."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from importlib.metadata import version

from .commands import COMMANDS
from .installed import extra_lines, package_lines
from .machine_report import machine_lines, machine_warnings

_TEXT = """Prints devices, versions, extras and how the Hub is reached, with warnings and their remedies. With a
training command after it, what that run would take: batches, trained parameters, memory and compute, without weights or
training."""
_EXAMPLE = """another machine: --assume '{"processes": 8, "sharding": "zero3", "gpu_memory": 80, "bf16": true}'"""


def parser() -> argparse.ArgumentParser:
    """The command's argument parser, which leaves the options of a training command to that command."""
    options = argparse.ArgumentParser(prog="hf-llmrec doctor", description=_TEXT, epilog=_EXAMPLE)
    options.add_argument(
        "training", nargs=argparse.REMAINDER, metavar="train lcrec|galrec ...", help="a training command with options"
    )
    return options


def main(argv: list[str] | None = None) -> int:
    words = parser().parse_args(argv).training
    if words:
        name = " ".join(words[:2])
        if name not in ("train lcrec", "train galrec"):
            raise ValueError(f"doctor takes `train lcrec` or `train galrec` with its options, not {' '.join(words)!r}")
        return import_module(f"hf_llmrec.cli.{COMMANDS[name].module}").main([*words[2:], "--dry_run", "True"])
    obstacles = _obstacles()
    decoding = [f"{name}: {'without the' if why else 'by a'} tree of beams" for name, why in obstacles.items()]
    parts = {
        "machine": machine_lines(),
        "packages": package_lines(),
        "extras": extra_lines(),
        "Hub": _hub(),
        "decoding": decoding,
    }
    for title, lines in parts.items():
        print(title)
        for line in lines:
            print(f"  {line}")
    for line in [*machine_warnings(), *(_decoding_warning(name, why) for name, why in obstacles.items() if why)]:
        print(f"warning: {line}")
    return 0


def _hub() -> list[str]:
    from huggingface_hub import constants, get_token

    return [
        f"{constants.ENDPOINT}, {'offline (HF_HUB_OFFLINE)' if constants.HF_HUB_OFFLINE else 'online'}",
        f"token: {'there' if get_token() else 'none: `hf auth login`, for gated and private models and to push'}",
        f"cache: {constants.HF_HUB_CACHE}",
    ]


def _obstacles() -> dict[str, str | None]:
    """By choice of `--architecture`, why this transformers version cannot decode by a tree of beams, or ``None``."""
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


if __name__ == "__main__":
    sys.exit(main())
