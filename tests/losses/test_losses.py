"""InfoNCE against loops; the queue against a plain list under random batches."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from hf_llmrec.losses import MomentumQueue, alignment, info_nce, matches, uniformity


def vectors(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


@given(st.integers(1, 6), st.integers(0, 8), st.integers(0, 2**31), st.sampled_from([0.02, 0.05, 0.5, 2.0]))
def test_against_a_loop(n, m, seed, temperature):
    queries, positives, negatives = vectors(n, 5, seed=seed), vectors(n, 5, seed=seed + 1), vectors(m, 5, seed=seed + 2)
    excluded = torch.rand(n, m, generator=torch.Generator().manual_seed(seed)) < 0.4
    output = info_nce(queries, positives, negatives, temperature=temperature, excluded=tuple(excluded.nonzero().T))
    losses, counted = [], []
    for i in range(n):
        own = F.cosine_similarity(queries[i], positives[i], dim=0).item() / temperature
        cosines = [F.cosine_similarity(queries[i], negatives[j], dim=0).item() for j in range(m) if not excluded[i, j]]
        counted += cosines
        losses.append(math.log1p(sum(math.exp(c / temperature - own) for c in cosines)))
    assert output.loss.item() == pytest.approx(sum(losses) / n, rel=1e-3, abs=1e-5)
    assert output.negative_similarity.item() == pytest.approx(sum(counted) / max(len(counted), 1), abs=1e-5)
    assert output.positive_similarity.item() == pytest.approx(
        F.cosine_similarity(queries, positives).mean().item(), abs=1e-5
    )


def test_excluded_negatives_get_no_gradient_and_lone_queries_no_loss():
    queries, positives = vectors(2, 4).requires_grad_(), vectors(2, 4, seed=1)
    negatives = vectors(3, 4, seed=2).requires_grad_()
    excluded = torch.tensor([[True, False, False], [True, True, True]])
    for temperature in (0.01, 0.1):
        queries.grad = negatives.grad = None
        output = info_nce(queries, positives, negatives, temperature=temperature, excluded=tuple(excluded.nonzero().T))
        output.loss.backward()
        assert not negatives.grad[0].any() and negatives.grad[1].any()
        assert not queries.grad[1].any() and torch.isfinite(queries.grad).all()
    alone = info_nce(queries, -queries.detach(), negatives[:0], temperature=0.01)
    alone.loss.backward()
    assert alone.loss == 0 and torch.isfinite(queries.grad).all()


def test_alignment_and_uniformity():
    points = vectors(500, 16)
    assert alignment(points, 3 * points).item() == pytest.approx(0, abs=1e-6)
    assert alignment(points, -points).item() == pytest.approx(4, abs=1e-4)
    assert uniformity(points[:1].repeat(9, 1)).item() == pytest.approx(0, abs=1e-5)
    assert -4 < uniformity(points).item() < -3 and uniformity(points[:1]) == 0


@given(st.integers(1, 9), st.lists(st.integers(0, 25), max_size=12))
def test_the_queue_is_a_fifo(length, batches):
    queue, reference, number = MomentumQueue(length, 2), [], 0
    for call, size in enumerate(batches, start=1):
        ids = torch.arange(number, number + size)
        queue.enqueue(torch.stack([ids * 2.0, ids * 3.0], dim=1), ids)
        reference = (reference + [(int(i), call) for i in ids])[-length:]
        number += size
        held = queue.ids >= 0
        entries = sorted(zip(queue.ids[held].tolist(), queue.added_at[held].tolist(), strict=True))
        assert entries == reference
        assert torch.equal(queue.keys[held][:, 1], queue.ids[held] * 3.0)
        assert queue.fill == pytest.approx(len(reference) / length)
        ages = [call - added for _, added in reference]
        assert queue.age == pytest.approx(sum(ages) / len(ages) if ages else 0.0)


def test_state_is_in_the_checkpoint():
    queue = MomentumQueue(5, 2)
    for start in (0, 4):
        queue.enqueue(vectors(4, 2, seed=start), torch.arange(start, start + 4))
    copy = MomentumQueue(5, 2)
    copy.load_state_dict(queue.state_dict())
    for each in (queue, copy):
        each.enqueue(vectors(3, 2, seed=9), torch.arange(8, 11))
    assert all(torch.equal(queue.state_dict()[name], copy.state_dict()[name]) for name in queue.state_dict())


@given(st.integers(1, 5), st.integers(0, 6), st.integers(0, 10), st.integers(0, 1000))
def test_linked_entities_match_wherever_they_stand(n, width, m, seed):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(8, (m,), generator=generator)
    linked = torch.randint(-1, 8, (n, width), generator=generator)
    expected = [(row, place) for row in range(n) for place in range(m) if int(ids[place]) in linked[row].tolist()]
    rows, places = matches(ids, linked)
    assert sorted(zip(rows.tolist(), places.tolist(), strict=True)) == expected


def test_entries_are_what_was_enqueued_and_stay_as_they_were():
    queue = MomentumQueue(6, 2)
    assert [len(part) for part in queue.entries] == [0, 0]
    queue.enqueue(vectors(4, 2), torch.arange(4))
    keys, ids = queue.entries
    queue.enqueue(vectors(5, 2, seed=1), torch.arange(5, 10))
    assert ids.tolist() == [0, 1, 2, 3] and torch.equal(keys, vectors(4, 2))
    assert len(queue.entries[0]) == 6


def test_keys_carry_no_gradient():
    queue, keys = MomentumQueue(4, 2), vectors(2, 2).requires_grad_()
    queue.enqueue(keys, torch.tensor([1, 2]))
    assert not queue.keys.requires_grad


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: info_nce(vectors(2, 3), vectors(2, 4), vectors(1, 3)), "queries and positives"),
        (lambda: info_nce(vectors(2, 3), vectors(2, 3), vectors(1, 4)), "negatives must be"),
        (lambda: info_nce(vectors(2, 3), vectors(2, 3), vectors(1, 3), temperature=0), "temperature"),
        (lambda: info_nce(vectors(2, 3), vectors(2, 3), vectors(1, 3), excluded=(vectors(2), vectors(1))), "excluded"),
        (lambda: MomentumQueue(0, 2), "must be positive"),
        (lambda: MomentumQueue(3, 2).enqueue(vectors(2, 3), torch.arange(2)), "keys must be"),
        (lambda: MomentumQueue(3, 2).enqueue(vectors(2, 2), torch.tensor([-1, 2])), "not be negative"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
