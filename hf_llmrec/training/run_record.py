"""Record of the run that wrote a checkpoint: a JSON file beside the trainer's state, checked when it is resumed."""

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

# Number of training rows that are built and compared to decide whether two runs train on the same rows.
_SAMPLED_ROWS = 16
# Options that do not change what is learned: locations, what is logged, evaluated, saved and pushed, and how the work
# is done. `num_train_epochs` and `max_steps` may grow; `ResumedRun` checks how many steps are left.
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
    *("patience", "teacher_dir", "teacher_options"),  # an existing teacher is used again
    *("per_device_eval_batch_size", "prediction_loss_only", "project", "push_to_hub", "report_to"),
    *("restore_callback_states_from_checkpoint", "resume_from_checkpoint", "run_name", "skip_memory_metrics"),
    *("target_steps", "tf32", "torch_empty_cache_steps", "use_cpu", "use_liger_kernel"),
}


@dataclass(frozen=True)
class RunRecord:
    """Facts about a run that its checkpoints store; all values are those of JSON.

    Attributes:
        run_id: random identifier; a resumed run has that of the run it resumes.
        started: when the run began, ISO 8601 in UTC.
        num_processes: number of processes that train together.
        sharding: how weights are sharded over them: ``none``, ``zero2``, ``zero3``, ``fsdp1`` or ``fsdp2``.
        save_only_model: whether the checkpoints hold the model only, so that no run can resume from them.
        rows: ``number`` of training rows, and ``sha256`` of their lengths and of some of them.
        options: options of the training that change what is learned.
        command: options of the command that were set and change what is learned.
        data: the command's facts about the data, see `TrackedConfig.describe`.
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
        """Create the record of a run that begins now.

        Args:
            args: options of the training.
            facts: facts about the run besides its options, `TrackedConfig.facts`.
            rows: training rows.
            sharding: how weights are sharded, as the attribute of this name.
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
        """Write ``training_run.json``.

        Args:
            checkpoint: folder of the checkpoint.
        """
        write_json(Path(checkpoint) / RUN_FILE, dataclasses.asdict(self))

    @classmethod
    def load(cls, checkpoint: str | os.PathLike) -> RunRecord | None:
        """Read the record of a checkpoint; ``None`` if it has none, as those of version 0.1.

        Args:
            checkpoint: folder of the checkpoint.

        Raises:
            ValueError: the file is not such a record.
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
        """Differences, in words, for which another run must not resume this one.

        Args:
            other: the run that is to resume this one.
        """
        differences = []
        if self.num_processes != other.num_processes:
            differences.append(f"it was written by {processes(self.num_processes)}, this run has {other.num_processes}")
        if self.sharding != other.sharding:
            differences.append(f"weights were sharded by {self.sharding}, now by {other.sharding}")
        # Options and facts that only one of the two versions of these packages has are not compared.
        both = set(self.options) & set(other.options)
        pairs = [(name, self.options[name], other.options[name]) for name in both]
        set_by_either = set(self.command) | set(other.command)
        pairs += [(name, self.command.get(name), other.command.get(name)) for name in set_by_either]
        both = set(self.data) & set(other.data)
        pairs += [(f"the data's {name}", self.data[name], other.data[name]) for name in both]
        pairs = sorted(pairs, key=str)
        differences += [f"{name} was {before}, is {now}" for name, before, now in pairs if before != now]
        if self.rows != other.rows and not differences:
            numbers = f"{self.rows['number']}, now {other.rows['number']}"
            differences.append(
                f"its training rows were others (there were {numbers}): an index, texts or interactions changed"
            )
        return differences


def is_free(name: str) -> bool:
    """Whether a resumed run may have another value of an option.

    Args:
        name: of the option.
    """
    return name in _FREE or name.startswith(_FREE_PREFIXES)


def processes(number: int) -> str:
    """Format a number of processes: ``1 process``, ``2 processes``.

    Args:
        number: at least 1.
    """
    return "1 process" if number == 1 else f"{number} processes"


def fingerprint(rows: EpochDataset) -> str:
    """Compute the sha256 (hex) of all rows' lengths in the first epoch and of a few of these rows.

    Args:
        rows: training rows.
    """
    digest = hashlib.sha256(np.asarray(rows.lengths(0), dtype=np.int64).tobytes())
    for slot in np.unique(np.linspace(0, len(rows) - 1, _SAMPLED_ROWS).astype(np.int64)):
        _update(digest, rows.build(int(slot), 0))
    return digest.hexdigest()


def _update(digest, value: Any) -> None:
    """Add numbers in nested dictionaries and sequences, each part with its size, so that boundaries count."""
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
