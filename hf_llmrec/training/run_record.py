"""What a checkpoint can be resumed with: a JSON file beside the trainer's state."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainingArguments

from ..data.epoch_dataset import EpochDataset
from ..data.files import read_json, write_json
from ..data.recommender_folder import RUN_FILE

# How many training rows are built to tell whether two runs train on the same ones.
_SAMPLED_ROWS = 16
# Options that change nothing of what is learned: where things lie, what is logged, evaluated, saved and pushed, how the
# work is done. `num_train_epochs` and `max_steps` may grow; how many steps are left is checked when they are known.
_FREE_PREFIXES = (
    *("activation_", "ddp_", "do_", "eval_", "fsdp", "gradient_checkpointing", "hub_", "include_", "log_", "logging_"),
    *("save_", "torch_compile", "trackio_"),
)
_FREE = {
    *("accelerator_config", "auto_find_batch_size", "batch_eval_metrics", "bf16", "bf16_full_eval", "dataset_num_proc"),
    *("dataloader_in_order", "dataloader_multiprocessing_context", "dataloader_num_workers", "dataloader_pin_memory"),
    *("dataloader_persistent_workers", "dataloader_prefetch_factor", "debug", "deepspeed", "disable_tqdm", "dry_run"),
    *("enable_jit_checkpoint", "fp16", "fp16_full_eval", "full_determinism", "greater_is_better", "ignore_data_skip"),
    *("include_graph", "include_users", "label_names", "liger_kernels", "load_best_model_at_end", "local_rank"),
    *("max_steps", "metric_for_best_model", "normalize", "num_beams", "num_train_epochs", "other_data", "output_dir"),
    *("patience", "teacher_dir", "teacher_options"),  # a teacher that is there is used again
    *("per_device_eval_batch_size", "prediction_loss_only", "project", "push_to_hub", "report_to"),
    *("restore_callback_states_from_checkpoint", "resume_from_checkpoint", "run_name", "skip_memory_metrics"),
    *("target_steps", "tf32", "torch_empty_cache_steps", "use_cpu", "use_liger_kernel"),
}


@dataclass(frozen=True)
class RunRecord:
    """One run, as its checkpoints record it; all values are JSON's.

    Attributes:
        run_id: drawn when it began, kept by whoever resumes it.
        started: when it began, ISO 8601 in UTC.
        num_processes: that train together.
        sharding: how weights are spread over them: ``none``, ``zero2``, ``zero3``, ``fsdp1`` or ``fsdp2``.
        save_only_model: whether the checkpoints lack what a run goes on with.
        rows: ``number`` of training rows and the sha256 of their lengths and of some of them.
        options: of the training, that change what is learned.
        command: options of the command that somebody set, that change what is learned.
        data: what the command said of the data, see `TrackedConfig.describe`.
    """

    run_id: str
    started: str
    num_processes: int
    sharding: str
    save_only_model: bool
    rows: dict[str, Any]
    options: dict[str, Any]
    command: dict[str, Any]
    data: dict[str, Any]

    @classmethod
    def begin(cls, args: TrainingArguments, facts: Mapping[str, Any], rows: EpochDataset, sharding: str) -> RunRecord:
        """Of a run that begins now.

        Args:
            args: as the trainer uses them. facts: of the run besides its options, `TrackedConfig.facts`.
            rows: training rows. sharding: see the class.
        """
        values = args.to_dict()
        options = {each.name: values[each.name] for each in dataclasses.fields(args) if not is_free(each.name)}
        record = {
            "run_id": uuid.uuid4().hex,
            "started": datetime.now(UTC).isoformat(),
            "num_processes": args.world_size,
            "sharding": sharding,
            "save_only_model": bool(args.save_only_model),
            "rows": {"number": len(rows), "sha256": fingerprint(rows)},
            "options": options,
            "command": {name: value for name, value in facts.get("options", {}).items() if not is_free(name)},
            "data": facts.get("data", {}),
        }
        return cls(**json.loads(json.dumps(record, default=str)))

    def save(self, checkpoint: str | os.PathLike) -> None:
        """Write ``training_run.json``."""
        write_json(Path(checkpoint) / RUN_FILE, dataclasses.asdict(self))

    @classmethod
    def load(cls, checkpoint: str | os.PathLike) -> RunRecord | None:
        """Read a checkpoint's; ``None`` where it has none, as version 0.1 wrote them.

        Raises:
            ValueError: a file that is no such record.
        """
        file = Path(checkpoint) / RUN_FILE
        if not file.is_file():
            return None
        value = read_json(file)
        names = {each.name for each in dataclasses.fields(cls)}
        if not isinstance(value, dict) or not names <= set(value):
            raise ValueError(f"{file}: not the record of a training run")
        return cls(**{name: value[name] for name in names})

    def differences(self, other: RunRecord) -> list[str]:
        """In words, in what ``other``, which wants to go on from this run, differs so that it must not."""
        found = []
        if self.num_processes != other.num_processes:
            found.append(f"it was written by {processes(self.num_processes)}, this run has {other.num_processes}")
        if self.sharding != other.sharding:
            found.append(f"weights were spread by {self.sharding}, now by {other.sharding}")
        # Options and facts that only one of two versions of these packages has say nothing.
        both = set(self.options) & set(other.options)
        pairs = [(name, self.options[name], other.options[name]) for name in both]
        set_by_either = set(self.command) | set(other.command)
        pairs += [(name, self.command.get(name), other.command.get(name)) for name in set_by_either]
        both = set(self.data) & set(other.data)
        pairs += [(f"the data's {name}", self.data[name], other.data[name]) for name in both]
        found += [f"{name} was {before}, is {now}" for name, before, now in sorted(pairs, key=str) if before != now]
        if self.rows != other.rows and not found:
            numbers = f"{self.rows['number']}, now {other.rows['number']}"
            found.append(
                f"its training rows were others (there were {numbers}): an index, texts or interactions changed"
            )
        return found


def is_free(name: str) -> bool:
    """Whether a resumed run may have another value of an option."""
    return name in _FREE or name.startswith(_FREE_PREFIXES)


def processes(number: int) -> str:
    """A number of processes in words."""
    return "1 process" if number == 1 else f"{number} processes"


def fingerprint(rows: EpochDataset) -> str:
    """sha256 (hex) of all rows' lengths in the first epoch and of a few of these rows."""
    digest = hashlib.sha256(np.asarray(rows.lengths(0), dtype=np.int64).tobytes())
    for slot in np.unique(np.linspace(0, len(rows) - 1, _SAMPLED_ROWS).astype(np.int64)):
        _update(digest, rows.build(int(slot), 0))
    return digest.hexdigest()


def _update(digest, value: Any) -> None:
    """Add numbers that lie in dictionaries and sequences; each part with its size, so that none runs into another."""
    if isinstance(value, Mapping):
        for name in sorted(value):
            digest.update(name.encode())
            _update(digest, value[name])
    elif isinstance(value, Sequence) and any(isinstance(part, (Mapping, Sequence, np.ndarray)) for part in value):
        digest.update(f"[{len(value)}]".encode())
        for part in value:
            _update(digest, part)
    else:
        numbers = np.asarray(value)
        digest.update(f"{numbers.shape}".encode() + np.asarray(numbers, dtype=np.float64).tobytes())
