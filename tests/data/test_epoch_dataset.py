"""`EpochDataset`: rows of the epoch, in this process and in workers that outlive an epoch."""

import numpy as np
import pytest
from torch.utils.data import DataLoader

from hf_llmrec.data.epoch_dataset import EpochDataset


class Countdown(EpochDataset):
    def __len__(self):
        return 3

    def build(self, slot, epoch):
        return {"input_ids": list(range(slot + epoch, -1, -1))}


def test_rows_follow_the_epoch():
    rows = Countdown()
    assert rows.epoch == 0 and rows[0] == {"input_ids": [0]} and [len(row["input_ids"]) for row in rows] == [1, 2, 3]
    rows.set_epoch(2)
    assert rows.epoch == 2 and rows[1] == {"input_ids": [3, 2, 1, 0]}
    np.testing.assert_array_equal(rows.lengths(1), [2, 3, 4])  # of any epoch, by default from the rows
    for wrong in (3, -1):
        with pytest.raises(IndexError, match=f"row {wrong} of 3"):
            rows[wrong]


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_that_stay_learn_of_the_next_epoch(context):
    rows = Countdown()
    options = {"num_workers": 1, "persistent_workers": True, "multiprocessing_context": context}
    loader = DataLoader(rows, batch_size=None, **options)
    for epoch in (0, 1, 5):
        rows.set_epoch(epoch)
        assert [len(row["input_ids"]) for row in loader] == [1 + epoch, 2 + epoch, 3 + epoch]
