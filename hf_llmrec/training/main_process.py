"""Work that only the main process does, while the others wait for any length of time, and end if it dies."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from torch.distributed import DistError, TCPStore  # pyright: ignore[reportPrivateImportUsage]  # documented there

Result = TypeVar("Result")
_STATUS = "status"
# Seconds between two checks whether the work is done, and until a failure is raised although not all have read it.
_INTERVAL, _FAREWELL = 0.5, 10


def run_on_main_process(work: Callable[[], Result], name: str) -> Result | None:
    """Call ``work`` on the main process, while the others wait.

    Must be called on all processes. They do not wait at a collective operation, which would give up after the process
    group's timeout: they poll a `torch.distributed.TCPStore` that the main process serves. If that process dies, its
    connections are closed, and the others notice it at once.

    Args:
        work: the function that is called on the main process only.
        name: describes the work in error messages, such as ``"training the teacher"``.

    Returns:
        The return value of ``work`` on the main process; ``None`` on the others.

    Raises:
        ConnectionError: on the others: the main process has ended, or its work has failed.
    """
    state = PartialState()
    if state.num_processes == 1:
        return work()
    if not state.is_main_process:
        _wait(_connect(state), name, state.process_index)
        state.wait_for_everyone()
        return None
    store = _connect(state)
    try:
        result = work()
    except BaseException:
        store.set(_STATUS, "failed")
        with suppress(DistError):  # this process serves the status: it must not end before the others have read it
            store.wait([str(rank) for rank in range(1, state.num_processes)], timedelta(seconds=_FAREWELL))
        raise
    store.set(_STATUS, "done")
    state.wait_for_everyone()
    return result


def _connect(state: PartialState) -> TCPStore:
    """A store on a free port of the main process."""
    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False) if state.is_main_process else None
    port = [0 if store is None else store.port]
    broadcast_object_list(port)
    store = store or TCPStore(os.environ["MASTER_ADDR"], port[0], is_master=False)
    state.wait_for_everyone()  # all connect before the work begins: nobody can connect to a process that has died
    return store


def _wait(store: TCPStore, name: str, rank: int) -> None:
    try:
        while not store.check([_STATUS]):
            time.sleep(_INTERVAL)
        status = store.get(_STATUS).decode()
        store.set(str(rank), status)
    except DistError as error:
        raise ConnectionError(
            f"the main process ended while it was {name} and this one (rank {rank}) waited for it: see its log, or the "
            "system's, which tells of processes killed for memory"
        ) from error
    if status == "failed":
        raise ConnectionError(f"the main process failed while {name}: see its log; this one (rank {rank}) ends, too")
