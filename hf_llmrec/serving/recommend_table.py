"""`recommend_table`: recommendations for a table of histories, as a folder of Parquet parts."""

from __future__ import annotations

import logging
import os
import time as clock
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby, islice
from typing import Any

import pyarrow as pa
from accelerate.utils import broadcast_object_list

from ..data.requests import seconds
from ..evaluation.processes import gather_share, join_processes, process_share
from ..methods.auto import AutoRecommender
from ..recommender import Recommender
from ..training.main_process import run_on_main_process
from .histories import Histories, HistoryRow
from .model_identity import ModelIdentity
from .open_histories import open_histories
from .parts_folder import PartsFolder, check_run
from .recommendation_batches import RecommendationBatches
from .request_counts import COUNTS, CountingReader, warnings
from .run_progress import RunProgress

logger = logging.getLogger(__name__)
# Rows that are ranked at once: recommenders make batches of similar length of them.
_CHUNK = 2048
# Seconds between two looks whether the other processes have written their parts.
_INTERVAL = 0.2


@dataclass(frozen=True)
class TableResult:
    """What `recommend_table` did.

    Attributes:
        num_users: rows in the folder.
        num_parts: parts in the folder.
        new_parts: parts that this call wrote, in all its processes.
        model: name of the model.
        revision: commit of the model's Hub repository, or ``sha256:HASH`` of its files.
        fallback: why rankings were made in a slower way than the model's own; ``None``: they were not.
    """

    num_users: int
    num_parts: int
    new_parts: int
    model: str
    revision: str
    fallback: str | None = None


def recommend_table(
    model: str | os.PathLike | Recommender,
    histories: str | os.PathLike,
    output_dir: str | os.PathLike,
    *,
    top_k: int = 10,
    exclude: Sequence[str] | None = None,
    allowed: Sequence[str] | None = None,
    strict: bool = False,
    users_per_part: int = 10_000,
    time: int | str | datetime | None = None,
    revision: str | None = None,
    batch_size: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> TableResult:
    """Recommend items for every row of a table of histories, and write them as Parquet parts.

    The table is read as a stream: memory does not depend on its number of rows, except for datasets, which are loaded.
    A row of the output follows from a row of the table, in the same order, also where a user occurs again. All rows are
    checked before the first is ranked. Called in several launched processes, each writes some of the parts.

    A run that ended before its last part is continued by the same call: complete parts stay. A complete run is left as
    it is. The record of the run is ``__run__/run.json``.

    Args:
        model: recommender folder, Hub id, or a recommender. A recommender is saved to a temporary folder to get its
            hash.
        histories: a Parquet file or a file of JSON lines with ``user_id``, ``history`` (a list of item ids, oldest
            first) and optionally ``exclude``, ``allowed``, ``query``, ``time`` and ``last_time`` (see
            [`Recommender.recommend`]); a folder of such Parquet files; or a dataset folder or Hub dataset, in which all
            interactions of a user are the history.
        output_dir: folder of the parts ``part-00000.parquet`` and so on, with the columns ``user_id``, ``item_ids``
            (list of strings, best first), ``scores`` (list of float32), ``model`` and ``revision``.
        top_k: how many items per row, at least 1. Lists are shorter where fewer items qualify.
        exclude: item ids that nobody is recommended.
        allowed: the only item ids that may be recommended; empty: none.
        strict: an unknown item of a history is an error; otherwise it is skipped, counted and reported in a warning.
        users_per_part: rows of a part, at least 1. A run that was killed loses the parts that were being written.
        time: when requests are made that state no time, for models with time features: seconds since 1970, ISO text or
            a `datetime`; default: when the run first began.
        revision: branch, tag or commit of a Hub repository.
        batch_size: histories per forward pass; default: the model's own. For a recommender, set it there.
        on_progress: called with (users done, users to do) of this process; default: progress is shown on stderr.

    Returns:
        what is in the folder and what was done.

    Raises:
        FileNotFoundError: there is no such model or table.
        ValueError: a row that cannot be read; or ``output_dir`` holds the parts of another run. The message names file
            and row, or what differs.

    Example:
        ```python
        recommend_table("me/lcrec-shop", "histories.parquet", "recs", top_k=50)
        ```
    """
    for name, value in {"top_k": top_k, "users_per_part": users_per_part, "batch_size": batch_size}.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if batch_size is not None and isinstance(model, Recommender):
        raise ValueError("batch_size: set it when the recommender is loaded")
    options = {
        "top_k": top_k,
        "exclude": None if exclude is None else sorted(set(exclude)),
        "allowed": None if allowed is None else sorted(set(allowed)),
        "strict": strict,
        "users_per_part": users_per_part,
    }
    moment = None if time is None else seconds(time, "time")
    state, folder, table = join_processes(), PartsFolder(output_dir), open_histories(histories)
    num_parts = max(-(-table.num_rows // users_per_part), 1)
    lengths = [min(users_per_part, table.num_rows - part * users_per_part) for part in range(num_parts)]

    def begin() -> tuple[dict[str, Any], bool, list[int]]:
        """The run, whether it is new, and the parts that are missing."""
        folder.lock()
        identity = ModelIdentity.of(model, revision)
        before = folder.earlier_run()
        if moment is None:
            options["time"] = int(clock.time()) if before is None else before["options"]["time"]
        else:
            options["time"] = moment
        source = {"name": table.name, "fingerprint": table.fingerprint, "rows": table.num_rows}
        run = {"model": asdict(identity), "input": source, "options": options}
        if before is not None:
            check_run(folder.path, before, run)
        folder.remove_unfinished()
        return before or run, before is None, folder.missing(lengths)

    try:
        given: list[Any] = [run_on_main_process(begin, "preparing the run")]
        if state.num_processes > 1:
            broadcast_object_list(given)
        run, is_new, missing = given[0]
        identity, fallback = ModelIdentity(**run["model"]), None
        if missing:
            recommender = _opened(model, identity, batch_size)
            make = RecommendationBatches(recommender, run, CountingReader(recommender, table, strict=strict))
            if is_new:
                _check_rows(CountingReader(recommender, table, strict=strict), table)
                run_on_main_process(lambda: folder.begin(run), "recording the run")
            _write_parts(make, table, folder, lengths, missing, on_progress)
            fallback = recommender.fallback
    finally:
        folder.unlock()
    return TableResult(table.num_rows, num_parts, len(missing), identity.name, identity.revision, fallback)


def _opened(model: str | os.PathLike | Recommender, identity: ModelIdentity, batch_size: int | None) -> Recommender:
    """The recommender, on this process's device if it is loaded here."""
    if isinstance(model, Recommender):
        return model
    # All processes load the same commit, whatever is pushed meanwhile.
    where = {} if os.path.isdir(model) else {"revision": identity.revision}
    given = {} if batch_size is None else {"batch_size": batch_size}
    return AutoRecommender.from_pretrained(model, device=join_processes().device, **where, **given)


def _check_rows(reader: CountingReader, table: Histories) -> None:
    """Read all rows once, so that an error costs no work, and log one warning per kind of irregularity."""
    share = process_share(table.num_rows)
    logger.info("%s: checking %s rows", table.name, f"{table.num_rows:,}")
    rows = table.read(share.start, share.stop)
    while chunk := list(islice(rows, _CHUNK)):
        reader.requests(chunk)
    found = gather_share([(reader.counts, reader.examples)])
    if join_processes().is_main_process:
        counts = {name: sum(each[name] for each, _ in found) for name in COUNTS}
        for line in warnings(counts, [item for _, examples in found for item in examples]):
            logger.warning("%s: %s", table.name, line)


def _write_parts(
    make: RecommendationBatches,
    table: Histories,
    folder: PartsFolder,
    lengths: list[int],
    missing: list[int],
    on_progress: Callable[[int, int], None] | None,
) -> None:
    """Write this process's share of the missing parts, and wait for the others'."""
    state, share = join_processes(), process_share(len(missing))
    mine = missing[share.start : share.stop]
    total, done = sum(lengths[part] for part in mine), 0
    whose = f" of process {state.process_index + 1} of {state.num_processes}" if state.num_processes > 1 else ""
    shown = RunProgress(total, whose)

    def batches(rows: Iterator[HistoryRow]) -> Iterator[pa.RecordBatch]:
        nonlocal done
        while chunk := list(islice(rows, _CHUNK)):
            yield make.batch(chunk)
            done += len(chunk)
            if on_progress is not None:
                on_progress(done, total)
            elif state.is_main_process:
                shown(done)

    # Parts that follow one another are read without opening the table again.
    for _, numbered in groupby(enumerate(mine), key=lambda pair: pair[1] - pair[0]):
        parts = [part for _, part in numbered]
        first = parts[0] * lengths[0]
        rows = table.read(first, first + sum(lengths[part] for part in parts))
        for part in parts:
            folder.write(part, len(lengths), make.schema, batches(islice(rows, lengths[part])))
    # Not at a barrier, which gives up after some minutes. The launcher ends all processes if one of them fails.
    while not all(folder.file(part, len(lengths)).is_file() for part in missing):
        clock.sleep(_INTERVAL)
