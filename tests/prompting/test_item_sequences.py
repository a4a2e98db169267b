from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_llmrec.data.splits import leave_one_out
from hf_llmrec.prompting.item_sequences import ItemSequenceDataset, ItemSequenceEvalDataset

ITEMS = 7


def split_of(lengths: list[int]):
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return leave_one_out(indptr, np.random.default_rng(0).integers(ITEMS, size=indptr[-1]).astype(np.int32))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8).filter(lambda x: max(x) > 3), st.integers(1, 9))
def test_every_interaction_but_the_first_is_a_target_once(lengths, max_length):
    split = split_of(lengths)
    rows = ItemSequenceDataset(split, max_length=max_length)
    built = [rows.build(slot, 0) for slot in range(len(rows))]
    assert [len(row["labels"]) for row in built] == rows.lengths(0).tolist()
    assert all(1 <= len(row["labels"]) <= max_length for row in built)
    assert all(np.array_equal(row["input_ids"][1:], row["labels"][:-1]) for row in built)
    expected = Counter(int(i) for user in range(len(lengths)) for i in split.train_sequence(user)[1:])
    assert Counter(int(i) for row in built for i in row["labels"]) == expected
    assert rows.target_counts(ITEMS).tolist() == [expected[item] for item in range(ITEMS)]


def test_dropout_differs_between_epochs_and_is_repeatable():
    rows = ItemSequenceDataset(split_of([60] * 20), item_dropout=0.3, seed=1)
    first = [rows.build(slot, 0)["labels"].tolist() for slot in range(20)]
    assert first == [rows.build(slot, 0)["labels"].tolist() for slot in range(20)]
    assert first != [rows.build(slot, 1)["labels"].tolist() for slot in range(20)]
    kept = np.mean([len(row) for row in first]) / rows.lengths(0).mean()
    assert 0.6 < kept < 0.8
    tiny = ItemSequenceDataset(split_of([4] * 50), item_dropout=0.9)
    assert all(len(tiny.build(slot, 0)["labels"]) == 1 for slot in range(50))  # never less than one target


def test_cases_ask_for_the_target_only():
    split = split_of([10, 4])
    rows = ItemSequenceEvalDataset(split.test, max_length=5)
    row = rows.build(0, 0)
    assert row["input_ids"].tolist() == split.test.histories[0][-5:].tolist()
    assert row["labels"].tolist() == [-100] * 4 + [split.test.targets[0]]
    assert rows.lengths(0).tolist() == [5, 3]


def test_nothing_to_learn_and_bad_dropout():
    with pytest.raises(ValueError, match="two training interactions"):
        ItemSequenceDataset(split_of([1, 1, 3]))
    with pytest.raises(ValueError, match="item_dropout"):
        ItemSequenceDataset(split_of([10]), item_dropout=1.0)
