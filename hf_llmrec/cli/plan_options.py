"""Options of commands that can estimate what a run takes."""

from __future__ import annotations

from dataclasses import dataclass, field

from .json_options import JsonObject, json_object


@dataclass
class PlanArguments:
    """Estimating what a run takes, without running it.

    Args:
        dry_run: print the plan and stop; the model's configuration is read, its weights are not.
        assume: with ``dry_run``, properties of another machine, as JSON: ``processes``, ``sharding`` (none, zero2,
            zero3, fsdp2), ``gpu_memory`` in GiB, ``bf16``; default: this machine.
    """

    dry_run: bool = field(default=False, metadata={"help": "print what the run would take, and stop"})
    assume: JsonObject = field(
        default_factory=dict,
        metadata={"help": "with --dry_run: processes, sharding, gpu_memory (GiB) and bf16 of another machine, as JSON"},
    )

    def __post_init__(self):
        self.assume = json_object("assume", self.assume)
        unknown = sorted(set(self.assume) - {"processes", "sharding", "gpu_memory", "bf16"})
        if unknown:
            raise ValueError(f"--assume knows processes, sharding, gpu_memory and bf16, not {unknown}")
        if self.assume and not self.dry_run:
            raise ValueError("--assume is for --dry_run: a run takes what there is")
