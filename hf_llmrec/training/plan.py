"""Plan of a training, logged before it begins: devices, batches, parameters, memory, and warnings with remedies."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import torch
from peft import PeftConfig
from transformers import PreTrainedModel
from transformers.integrations.deepspeed import set_hf_deepspeed_config, unset_hf_deepspeed_config
from transformers.trainer_pt_utils import get_model_param_count

from ..data.epoch_dataset import EpochDataset
from .batch_sampler import LengthGroupedBatchSampler
from .budget import fill_budget
from .cpu_features import bf16_feature
from .footprint import GIB, RESERVE, Footprint, Setup, footprint
from .language_model_config import LanguageModelTrainingConfig
from .machine_config import accelerator_memory, accelerator_name

logger = logging.getLogger(__name__)
# Bytes of a logit: the logit, its float32 copy, and the gradient.
_LOGIT = 12
# Number of batches that are measured at most.
_BATCHES = 6
REMEDIES = (
    "lower --tokens_per_batch and raise --gradient_accumulation_steps, --activation_checkpointing True, --use_peft "
    "True, or shard it over GPUs (recipes/accelerate_configs/zero3.yaml, fsdp2.yaml)"
)


@dataclass(frozen=True)
class Machine:
    """The machine of a process.

    Attributes:
        device: its name, for messages.
        memory: bytes of the device's memory.
        setup: processes and precision of the run.
        is_gpu: whether the device is a GPU or another accelerator.
    """

    device: str
    memory: int
    setup: Setup
    is_gpu: bool

    @classmethod
    def of(cls, given: Mapping[str, Any], training: LanguageModelTrainingConfig, momentum: bool) -> Machine:
        """This machine, or another one as far as it is described.

        Args:
            given: properties of another machine, see ``assume`` of `plan_training`.
            training: options of the training.
            momentum: whether there is a momentum copy of the trained parameters.
        """
        sharding = "none"
        if training.deepspeed_plugin is not None and training.deepspeed_plugin.zero_stage:
            sharding = f"zero{max(training.deepspeed_plugin.zero_stage, 2)}"
        elif os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
            sharding = "fsdp2"
        setup = Setup(
            processes=given.get("processes", training.world_size),
            sharding=given.get("sharding", sharding),
            half=given.get("bf16", bool(training.bf16 or training.fp16)),
            checkpointing=bool(training.activation_checkpointing),
            momentum=momentum,
        )
        if "gpu_memory" in given:
            return cls("a GPU", int(given["gpu_memory"] * GIB), setup, True)
        if training.device.type != "cpu":
            return cls(accelerator_name() or training.device.type, accelerator_memory(), setup, True)
        local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        memory = psutil.virtual_memory().available // local
        return cls(f"the CPU, {torch.get_num_threads()} threads", memory, setup, False)


@dataclass(frozen=True)
class Batches:
    """Sizes of an epoch's batches.

    Attributes:
        count: number of batches of all processes.
        tokens: mean number of tokens of a batch.
        largest: tokens of the largest batch.
        logits: number of logits that the loss computes, of the batch with most of them.
    """

    count: int
    tokens: float
    largest: int
    logits: int


def plan_training(
    training: LanguageModelTrainingConfig,
    model: PreTrainedModel,
    adapters: PeftConfig | None,
    rows: EpochDataset,
    sizes: Callable[[list[dict]], tuple[int, int]],
    *,
    target_per_item: bool,
    momentum: bool = False,
    assume: Mapping[str, Any] | None = None,
    taken: Mapping[str, Any] | None = None,
    warnings: list[str] | None = None,
) -> dict[str, float]:
    """Set the options that were not given, and log what the run needs.

    Args:
        training: options of the training, changed in place by `fill_budget`.
        model: the model before adapters are added, perhaps without memory.
        adapters: configuration of the adapters; ``None``: the model's own weights are trained.
        rows: training rows.
        sizes: for the rows of a batch, returns the tokens that are read with gradient, padding included, and the number
            of logits.
        target_per_item: whether long rows have more targets than short ones, see `fill_budget`.
        momentum: whether there is a momentum copy of the trained parameters, see `Setup`.
        assume: properties of another machine than this one: ``processes``, ``sharding`` (none, zero2, zero3, fsdp2),
            ``gpu_memory`` in GiB, ``bf16``.
        taken: defaults of the model that follow from the start, to be logged with those of ``training``.
        warnings: warnings of the method, each with its remedy.

    Returns:
        Figures of the plan by name on the first process; empty on the others.
    """
    size = get_model_param_count(model)
    fill_budget(training, rows.lengths(0), size, adapters is not None, target_per_item=target_per_item)
    if training.process_index:  # the first process plans for all
        return {}
    machine = Machine.of(assume or {}, training, momentum)
    batches = measure_batches(rows, training, machine.setup.processes, sizes)
    memory: Footprint | None = None
    try:
        with _without_zero3(training):
            memory = footprint(model, adapters, machine.setup, tokens=batches.largest, logits=_LOGIT * batches.logits)
    except Exception as error:  # an estimate must not end a run
        logger.warning("the memory of a step could not be estimated: %s: %s", type(error).__name__, error)
    for line in describe(training, machine, batches, memory, taken or {}):
        logger.info(line)
    for line in [*(warnings or []), *_warnings(training, machine, batches, memory, model, adapters)]:
        logger.warning("warning: %s", line)
    figures = {"tokens_per_batch": batches.tokens, **_steps(training, machine.setup, batches)}
    if memory is not None:
        figures |= {"parameters": memory.parameters, "trained": memory.trained, "memory": _peak(machine, memory)}
        figures["memory_ranking"] = memory.ranking
        figures |= {f"memory_{name}": value for name, value in memory.parts.items()}
        figures["flops"] = memory.flops_per_token * figures["tokens_per_step"] * figures["steps"]
    return figures


def _peak(machine: Machine, memory: Footprint) -> int:
    """Bytes that the process needs on its device, with the reserve of a GPU."""
    return memory.peak + (RESERVE if machine.is_gpu else 0)


def _steps(training: LanguageModelTrainingConfig, setup: Setup, batches: Batches) -> dict[str, float]:
    """Tokens per optimizer step, steps per epoch and total steps."""
    together = setup.processes * training.gradient_accumulation_steps
    per_epoch = max(math.ceil(batches.count / together), 1)
    steps = training.max_steps
    if steps <= 0:
        if training.num_train_epochs is None:
            raise ValueError("num_train_epochs is not set: call `fill_budget` first")
        steps = math.ceil(per_epoch * training.num_train_epochs)
    return {"tokens_per_step": batches.tokens * together, "steps_per_epoch": per_epoch, "steps": steps}


@contextmanager
def _without_zero3(training: LanguageModelTrainingConfig) -> Iterator[None]:
    """Keep transformers from sharding the model that is counted, as it does with every new model under ZeRO-3."""
    plugin = training.deepspeed_plugin
    if plugin is None or plugin.dschf is None:
        yield
        return
    unset_hf_deepspeed_config()
    try:
        yield
    finally:
        set_hf_deepspeed_config(plugin.dschf)


def measure_batches(
    rows: EpochDataset,
    training: LanguageModelTrainingConfig,
    processes: int,
    sizes: Callable[[list[dict]], tuple[int, int]],
) -> Batches:
    """Measure a few of the first epoch's batches: the one with the most rows, the largest one, and others.

    Args:
        rows: training rows.
        training: options of the training, after `fill_budget`.
        processes: number of processes of the run.
        sizes: see `plan_training`.
    """
    sampler = LengthGroupedBatchSampler(
        rows.lengths,
        batch_size=None if training.tokens_per_batch else training.per_device_train_batch_size,
        tokens_per_batch=training.tokens_per_batch,
        seed=training.seed,
        num_processes=processes,
    )
    lengths, batches = rows.lengths(0), list(sampler)
    counts = np.array([len(batch) for batch in batches])
    area = counts * np.array([lengths[batch].max() for batch in batches])
    chosen = {int(counts.argmax()), int(area.argmax()), *range(min(_BATCHES - 2, len(batches)))}
    measured = [sizes([dict(rows.build(slot, 0)) for slot in batches[number]]) for number in sorted(chosen)]
    tokens, logits = np.array(measured).T
    return Batches(len(batches), float(tokens.mean()), int(tokens.max()), int(logits.max()))


def describe(
    training: LanguageModelTrainingConfig,
    machine: Machine,
    batches: Batches,
    memory: Footprint | None,
    defaults: Mapping[str, Any],
) -> list[str]:
    """Format the plan as lines.

    Args:
        training: options of the training, after `fill_budget`.
        machine: the machine that it runs on.
        batches: sizes of the batches.
        memory: memory of a training step; ``None``: it could not be estimated.
        defaults: defaults of the model that follow from the start, by name.
    """
    setup, counts = machine.setup, _steps(training, machine.setup, batches)
    precision = "bf16" if setup.half else "float32"
    start = "pretrained weights are tuned" if training.pretrained else "the model is trained from scratch"
    taken = ", ".join(f"{name} {json.dumps(value)}" for name, value in {**defaults, **training.filled}.items())
    sharding = "" if setup.sharding == "none" else f", {setup.sharding}"
    lines = [
        f"{start}{', whose defaults are ' if taken else ''}{taken}; learning_rate {training.learning_rate:g}",
        f"{setup.processes} process{'es' if setup.processes > 1 else ''} on {machine.device}, {precision}{sharding}",
        f"{counts['tokens_per_step']:,.0f} tokens per step ({setup.processes} x {training.gradient_accumulation_steps} "
        f"batches of about {batches.tokens:,.0f}), {counts['steps_per_epoch']:,} steps per epoch, {counts['steps']:,} "
        "in all",
    ]
    if memory is None:
        return lines
    adapters = (
        f"; what is trained takes {memory.trained * 4 / 2**20:,.1f} MB" if memory.trained < memory.parameters else ""
    )
    flops = memory.flops_per_token * counts["tokens_per_step"] * counts["steps"]
    parts = ", ".join(f"{name} {value / GIB:.2f}" for name, value in memory.parts.items() if value >= 0.005 * GIB)
    return [
        *lines,
        f"{memory.trained:,} of {memory.parameters:,} parameters are trained "
        f"({100 * memory.trained / memory.parameters:.2f} %){adapters}, its optimizer's state "
        f"{memory.parts['optimizer'] / 2**20:,.1f} MB per process",
        f"estimated memory per process {_peak(machine, memory) / GIB:.1f} GiB of {machine.memory / GIB:.1f} GiB "
        f"({parts or 'all tiny'})"
        + (
            f"; while ranking {memory.ranking / GIB:.1f}, a full copy of the model included"
            if memory.full_model
            else ""
        ),
        f"{flops:.2g} floating-point operations in all, attention left out",
    ]


def _memory_remedy(memory: Footprint) -> str:
    if memory.ranking <= memory.total:
        return REMEDIES
    return (
        f"ranking gathers the full model on every process, {memory.full_model / GIB:.1f} GiB beside what is sharded: "
        "take GPUs with more memory or a smaller model, or recipes/accelerate_configs/zero2.yaml where its weights and "
        "optimizer fit; smaller batches do not help"
    )


def _warnings(
    training: LanguageModelTrainingConfig,
    machine: Machine,
    batches: Batches,
    memory: Footprint | None,
    model: PreTrainedModel,
    adapters: PeftConfig | None,
) -> list[str]:
    lines, setup = [], machine.setup
    if memory is not None and _peak(machine, memory) > machine.memory:
        lines.append(f"this may not fit into {machine.memory / GIB:.1f} GiB: {_memory_remedy(memory)}")
    if machine.is_gpu and not setup.half:
        lines.append("float32 on a GPU: --bf16 True is faster and takes less, where the GPU has it")
    if not machine.is_gpu:
        feature = bf16_feature()
        if feature and not training.bf16:
            lines.append(f"this CPU has {feature}: --bf16 True takes less time")
        elif training.bf16 and not feature:
            lines.append(
                "this CPU is not known to have instructions for bf16: float32 may take less time (--bf16 False)"
            )
    if adapters is not None and model.dtype == torch.float32 and setup.half:
        lines.append("the frozen weights are in float32: --dtype bfloat16 halves them")
    if adapters is None and model.dtype != torch.float32 and not setup.sharding.startswith("zero"):
        lines.append(f"weights in {model.dtype} lose small steps: train with --dtype float32, or with adapters")
    if batches.count < 10 * setup.processes * training.gradient_accumulation_steps:
        lines.append("an epoch has fewer than 10 steps: lower --tokens_per_batch or --gradient_accumulation_steps")
    return lines
