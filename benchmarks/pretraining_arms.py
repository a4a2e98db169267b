"""The arms of `pretraining.py`: their names, the weights they start from, and the options they are trained with."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from hf_llmrec.data.files import staged
from hf_llmrec.training.first_layers import keep_first_layers

ROOT = Path(__file__).parents[1]
KINDS = ("pretrained", "random", "shuffled", "three_layer")
# The arms without suffixes have so many layers.
LAYERS = 10
_SUFFIXES = {
    **{"layers": r"(\d+)l", "seed": r"seed(\d+)", "epochs": r"(\d+)e", "warmup_rows": r"rows(\d+)"},
    **{"is_cold": "cold", "memory": "memory"},
}


@dataclass(frozen=True)
class Arm:
    """One training of the experiment.

    Attributes:
        kind: the weights that training starts from, one of `KINDS`.
        layers: number of layers, the first ones of the language model; ``three_layer`` has three.
        seed: of the random weights, the permutation, the index rows and the training.
        tasks: name of a set of tasks; empty: sequential prediction alone.
        epochs: number of epochs where the arm has its own.
        warmup_rows: optimizer steps that train the index rows alone.
        is_cold: whether items are held out.
        memory: whether co-occurrences and the repeat bias are fitted after training.
    """

    kind: str
    layers: int = LAYERS
    seed: int = 0
    tasks: str = ""
    epochs: int | None = None
    warmup_rows: int = 0
    is_cold: bool = False
    memory: bool = False

    @property
    def suffix(self) -> str:
        """What the name has beside the kind: empty for ten layers, seed 0 and the common options."""
        parts = [] if self.kind == "three_layer" or self.layers == LAYERS else [f"{self.layers}l"]
        parts += [f"seed{self.seed}"] if self.seed else []
        parts += [self.tasks] if self.tasks else []
        parts += [f"{self.epochs}e"] if self.epochs else []
        parts += [f"rows{self.warmup_rows}"] if self.warmup_rows else []
        parts += ["cold"] if self.is_cold else []
        parts += ["memory"] if self.memory else []
        return "".join(f"_{part}" for part in parts)

    @property
    def name(self) -> str:
        """Such as ``pretrained_30l_seed1``."""
        return self.kind + self.suffix

    def compared(self, layers: int) -> tuple[Arm, Arm] | None:
        """The arm that is expected to be better, and the one it is compared with; this arm is one of them.

        Args:
            layers: of the pretrained arm that ``three_layer`` is compared with.
        """
        if self.kind != "pretrained":
            return replace(self, kind="pretrained", layers=layers if self.kind == "three_layer" else self.layers), self
        if self.warmup_rows:
            return self, replace(self, warmup_rows=0)
        return (self, replace(self, tasks="")) if self.tasks else None

    @classmethod
    def parse(cls, name: str, default: Arm, task_sets: dict[str, Any]) -> Arm:
        """Read a name with suffixes in any order.

        Args:
            name: such as ``random_seed1_30l``.
            default: what suffixes do not say.
            task_sets: the sets of tasks by name, which are suffixes.

        Raises:
            ValueError: an unknown kind or suffix.
        """
        kind = next((each for each in KINDS if name == each or name.startswith(f"{each}_")), None)
        if kind is None:
            raise ValueError(f"arms: {name!r} must begin with one of {', '.join(KINDS)}")
        values: dict[str, Any] = {"kind": kind}
        for part in filter(None, name.removeprefix(kind).split("_")):
            if part in task_sets:
                values["tasks"] = part
                continue
            found = {field: match for field, form in _SUFFIXES.items() if (match := re.fullmatch(form, part))}
            if not found:
                known = ", ".join(["<n>l", "seed<n>", "<n>e", "rows<n>", "cold", "memory", *task_sets])
                raise ValueError(f"arms: {name!r} has the unknown suffix {part!r}; there are {known}")
            ((field, match),) = found.items()
            values[field] = int(match[1]) if match.groups() else True
        arm = replace(default, **values)
        return replace(arm, layers=3) if kind == "three_layer" else arm


@torch.no_grad()
def shuffle_weights(model: nn.Module, seed: int) -> None:
    """Permute the numbers within each matrix: their statistics stay, what they know is lost.

    Args:
        model: changed in place; tied matrices stay tied, vectors stay as they are.
        seed: of the permutations.
    """
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            order = torch.randperm(parameter.numel(), generator=generator)
            parameter.copy_(parameter.flatten()[order.to(parameter.device)].view_as(parameter))


def starting_weights(arm: Arm, model: str, folder: Path) -> str:
    """The folder or Hub id of the model that an arm starts from, which is written where it has to be made.

    Args:
        arm: of kind ``pretrained``, ``random`` or ``shuffled``.
        model: Hub id or folder of the pretrained model.
        folder: where models are written.
    """
    if arm.kind == "pretrained":
        return model
    target = folder / f"{Path(model).name}_{arm.kind}_{arm.layers}l_seed{arm.seed}"
    if (target / "config.json").is_file():
        return str(target)
    if arm.kind == "random":
        config = AutoConfig.from_pretrained(model)
        torch.manual_seed(arm.seed)
        made = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        keep_first_layers(made, arm.layers, model)
    else:
        made = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        keep_first_layers(made, arm.layers, model)
        shuffle_weights(made, arm.seed)
    with staged(target) as staging:
        AutoTokenizer.from_pretrained(model).save_pretrained(staging)
        made.save_pretrained(staging)
    return str(target)
