"""The processes that a launcher started, joined into one run."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object, get_int_from_env

# Where torchrun, `accelerate launch` and MPI say how many processes there are.
_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def launched_processes() -> int:
    """How many processes the launcher's environment says that this run has; 1 without a launcher."""
    return get_int_from_env(_SIZES, 1)


def runs_on_cpus() -> bool:
    """Whether several processes were launched on a machine without an accelerator.

    ``accelerate launch`` does not hand ``use_cpu: true`` on to several processes, and accelerate joins them over gloo
    only when CPU use is requested: otherwise each would take itself for the only one.
    """
    return launched_processes() > 1 and not torch.accelerator.is_available()


def check_joined(num_processes: int) -> None:
    """Refuse to run as one of several processes that know nothing of each other.

    Args:
        num_processes: of the process group as it was set up.

    Raises:
        RuntimeError: the launcher says that there are more.
    """
    launched = launched_processes()
    if num_processes < launched:
        raise RuntimeError(
            f"{launched} processes were launched, but they were not joined into one process group (this one sees "
            f"{num_processes}): they would do the same work {launched} times over and overwrite each other's files. "
            "Launch one process, or several on a device that torch.distributed supports (training on CPUs: --use_cpu "
            "True)"
        )


def process_share(count: int) -> range:
    """The numbers of this process, if each takes a contiguous share of ``count`` things.

    Args:
        count: how many there are.
    """
    state = join_processes()
    first, last = (count * (state.process_index + step) // state.num_processes for step in (0, 1))
    return range(first, last)


def gather_share(own: list[Any]) -> list[Any]:
    """The lists of all processes, one after the other, on each of them.

    Args:
        own: of this process, such as results for its `process_share`.
    """
    return gather_object(own) if join_processes().num_processes > 1 else own


def join_processes() -> PartialState:
    """The state of this process among those that were launched, which are joined if nobody has done it.

    Raises:
        RuntimeError: see `check_joined`.
    """
    state = PartialState(cpu=runs_on_cpus())
    check_joined(state.num_processes)
    return state
