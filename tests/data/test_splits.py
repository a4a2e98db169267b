"""Splits of random logs: every interaction has one place, in order, and training ends before what is held out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_llmrec.data.splits import leave_one_out, temporal


@st.composite
def logs(draw):
    """(indptr, indices, timestamps): some users, times ascending within each, many of them equal."""
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=12))
    times = [sorted(draw(st.lists(st.integers(0, 12), min_size=m, max_size=m))) for m in lengths]
    indices = draw(st.lists(st.integers(0, 5), min_size=sum(lengths), max_size=sum(lengths)))
    return np.cumsum([0, *lengths]), np.array(indices, dtype=np.int32), np.array(sum(times, []), dtype=np.int64)


def held_out(cases):
    """Per user row (history, target)."""
    pairs = [(cases.histories[n].tolist(), int(cases.targets[n])) for n in range(len(cases))]
    assert (np.diff(cases.user_rows) > 0).all(), "a user is evaluated once"
    assert cases.histories.lengths.tolist() == [len(history) for history, _ in pairs]
    return dict(zip(cases.user_rows.tolist(), pairs, strict=True))


@given(logs())
def test_leave_one_out_gives_every_interaction_one_place(log):
    indptr, indices, _ = log
    split = leave_one_out(indptr, indices)
    validation, test = held_out(split.validation), held_out(split.test)
    assert validation.keys() == test.keys() and split.cuts == ()
    assert split.train_only_users == len(indptr) - 1 - len(test)
    for user in range(len(indptr) - 1):
        sequence = indices[indptr[user] : indptr[user + 1]].tolist()
        train = split.train_sequence(user).tolist()
        if len(sequence) < 3:
            assert train == sequence and user not in test
            continue
        assert [*train, validation[user][1], test[user][1]] == sequence
        assert validation[user][0] == train and test[user][0] == [*train, validation[user][1]]


@given(logs(), st.floats(0.05, 0.45), st.floats(0.05, 0.45))
def test_temporal_periods_do_not_overlap_and_cover_everything(log, validation_share, test_share):
    indptr, indices, times = log
    split = temporal(indptr, indices, times, validation_share, test_share)
    begin_validation, begin_test = split.cuts
    validation, test = held_out(split.validation), held_out(split.test)
    for user in range(len(indptr) - 1):
        here = slice(indptr[user], indptr[user + 1])
        periods = {"train": [], "validation": [], "test": []}
        for item, time in zip(indices[here].tolist(), times[here].tolist(), strict=True):
            periods["train" if time < begin_validation else "validation" if time < begin_test else "test"].append(item)
        assert split.train_sequence(user).tolist() == periods["train"]
        # Who has a past is asked for the first interaction of a period, and knows all before it.
        for found, before, period in (
            (validation, periods["train"], periods["validation"]),
            (test, periods["train"] + periods["validation"], periods["test"]),
        ):
            assert (user in found) == bool(before and period)
            if user in found:
                assert found[user] == (before, period[0])
    assert len(validation.keys() | test.keys()) == len(indptr) - 1 - split.train_only_users


@given(logs(), st.floats(0.05, 0.45))
def test_the_test_period_is_its_share_of_the_log(log, share):
    """Up to ties in time: no more than the share lies after the cut, no less from the cut on."""
    indptr, indices, times = log
    begin, wanted = temporal(indptr, indices, times, 0.05, share).cuts[1], share * (len(times) - 1)
    assert (times > begin).sum() <= wanted + 1e-6 and (times >= begin).sum() >= wanted - 1e-6
    assert begin in times


def test_interactions_at_the_cut_are_held_out():
    """Twenty interactions at times 0..9, two each: the test period begins at 8, validation at 6, with both of them."""
    indptr, times = np.array([0, 10, 20]), np.tile(np.arange(10), 2)
    split = temporal(indptr, np.arange(20, dtype=np.int32), times, 0.2, 0.15)
    assert split.cuts == (6, 8)
    assert split.train_indices.tolist() == [*range(6), *range(10, 16)] and split.train_indptr.tolist() == [0, 6, 12]
    assert split.validation.targets.tolist() == [6, 16] and split.test.targets.tolist() == [8, 18]
    assert split.test.histories[0].tolist() == list(range(8))


def test_everything_at_one_time_leaves_nothing_to_learn_from():
    split = temporal(np.array([0, 3]), np.zeros(3, dtype=np.int32), np.full(3, 7))
    assert split.cuts == (7, 7) and not len(split.train_indices)
    with pytest.raises(ValueError, match="nobody can be evaluated"):
        split.require_cases("test")


@pytest.mark.parametrize("shares", [(0, 0.1), (0.1, 0), (0.5, 0.5), (-0.1, 0.2)])
def test_shares_must_leave_a_training_period(shares):
    with pytest.raises(ValueError, match="must be positive, sum below 1"):
        temporal(np.array([0, 3]), np.zeros(3, dtype=np.int32), np.arange(3), *shares)
