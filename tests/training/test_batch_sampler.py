import numpy as np
import pytest

from hf_llmrec.training.batch_sampler import LengthGroupedBatchSampler

LENGTHS = np.random.default_rng(0).integers(1, 80, size=503)


def sampler(**kwargs):
    return LengthGroupedBatchSampler(lambda epoch: LENGTHS, **kwargs)


@pytest.mark.parametrize("size", [{"batch_size": 16}, {"tokens_per_batch": 700}])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_row_once_and_an_even_number_of_batches(size, processes):
    batches = sampler(num_processes=processes, **size)
    drawn = list(batches)
    assert len(drawn) == len(batches) and len(drawn) % processes == 0
    assert all(drawn)
    assert sorted(row for batch in drawn for row in batch) == list(range(len(LENGTHS)))


def test_token_batches_hold_about_the_tokens_asked_for():
    tokens = [LENGTHS[batch].sum() for batch in sampler(tokens_per_batch=700)]
    assert max(tokens) < 700 * 1.3 and min(tokens) > 700 * 0.7


def test_rows_of_similar_length_meet():
    spread = [LENGTHS[batch].max() - LENGTHS[batch].min() for batch in sampler(batch_size=16)]
    assert np.mean(spread) < 6


def test_epochs_differ_and_repeat_exactly():
    first, again = sampler(batch_size=16), sampler(batch_size=16)
    epoch0 = list(first)
    first.set_epoch(1)
    assert list(first) != epoch0
    assert list(again) == epoch0
    again.set_epoch(1)
    assert list(first) == list(again)


def test_the_epoch_is_announced():
    heard = []
    sampler(batch_size=16, on_epoch=heard.append).set_epoch(3)
    assert heard == [3]


def test_one_giant_row_leaves_no_batch_empty():
    lengths = np.array([1, 1, 1, 1, 1000])
    drawn = list(LengthGroupedBatchSampler(lambda epoch: lengths, tokens_per_batch=251))
    assert len(drawn) == 4 and all(drawn)
    assert sorted(row for batch in drawn for row in batch) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("size", [{}, {"batch_size": 2, "tokens_per_batch": 3}])
def test_exactly_one_size(size):
    with pytest.raises(ValueError, match="exactly one"):
        sampler(**size)


@pytest.mark.parametrize("tokens", [1, 9])
def test_batches_smaller_than_a_row_are_refused_by_the_option(tokens):
    lengths = np.array([4, 8, 12, 16])
    with pytest.raises(ValueError, match=f"tokens_per_batch {tokens} is less than the 10 tokens .* on average"):
        LengthGroupedBatchSampler(lambda epoch: lengths, tokens_per_batch=tokens)
    assert len(LengthGroupedBatchSampler(lambda epoch: lengths, tokens_per_batch=10)) == 4


@pytest.mark.parametrize("size", [{"batch_size": 1}, {"tokens_per_batch": 10}])
def test_too_few_rows_for_the_processes(size):
    lengths = np.array([10, 10, 10, 10])
    with pytest.raises(ValueError, match="4 training rows cannot be cut into 6 batches.*3 processes"):
        LengthGroupedBatchSampler(lambda epoch: lengths, num_processes=3, **size)


def test_grouped_batches_are_halves_of_the_batches_of_twice_the_size():
    """What two processes see in one step, one process with batches of twice the size sees."""
    lengths = LENGTHS[:480]
    one = LengthGroupedBatchSampler(lambda epoch: lengths, batch_size=16, seed=3)
    two = LengthGroupedBatchSampler(lambda epoch: lengths, batch_size=8, seed=3, num_processes=2, group=2)
    halves = list(two)
    assert [halves[i] + halves[i + 1] for i in range(0, len(halves), 2)] == list(one)
