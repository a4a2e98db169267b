"""`RecommendationBatches`: ranks rows of a table of histories and makes rows of the output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from ..evaluation.request_ranking import rank_requests
from ..recommender import Recommender
from .histories import HistoryRow
from .request_counts import CountingReader

COLUMNS = (
    ("user_id", pa.string()),
    ("item_ids", pa.list_(pa.string())),
    ("scores", pa.list_(pa.float32())),
    ("model", pa.string()),
    ("revision", pa.string()),
)


class RecommendationBatches:
    """Makes record batches of recommendations.

    Args:
        recommender: ranks the catalogue.
        run: the record of the run: ``model`` with ``name``, ``method`` and ``revision``, and ``options``.
        reader: reads the rows as requests.

    Attributes:
        schema: of the batches. Its metadata has the model's name, method and revision, too.
    """

    def __init__(self, recommender: Recommender, run: dict[str, Any], reader: CountingReader):
        self._recommender, self._reader, self._options = recommender, reader, run["options"]
        self._limits = reader.limits(self._options)
        self._model, self._items = run["model"], pa.array(recommender.item_ids, pa.string())
        metadata = {f"hf_llmrec.{name}": self._model[name] for name in ("name", "method", "revision")}
        self.schema = pa.schema(COLUMNS, metadata=metadata)

    def batch(self, rows: Sequence[HistoryRow]) -> pa.RecordBatch:
        """Recommendations for rows, in their order.

        Args:
            rows: of the table.

        Raises:
            ValueError: a row that cannot be read; the message names file and row.
        """
        requests = self._reader.requests(rows)
        if self._recommender.uses_times:
            requests = [
                each if each.time is not None else replace(each, time=self._options["time"]) for each in requests
            ]
        items, scores = rank_requests(self._recommender, requests, self._options["top_k"], *self._limits)
        is_item = items >= 0
        ends = np.concatenate([[0], np.cumsum(is_item.sum(1))]).astype(np.int32)
        columns = [
            pa.array([row.user_id for row in rows], pa.string()),
            pa.ListArray.from_arrays(ends, self._items.take(pa.array(items[is_item]))),
            pa.ListArray.from_arrays(ends, pa.array(scores[is_item].astype(np.float32))),
            *(pa.array([self._model[name]] * len(rows), pa.string()) for name in ("name", "revision")),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)
