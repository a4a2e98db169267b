"""The four graph-aware losses against a loop, with queue and without, and what is left out as a negative."""

import math

import pytest
import torch
from torch.nn import functional as F

from hf_llmrec.methods.galrec.losses import ALIGNMENTS, GraphAlignment, PairBatch

N, DIM = 6, 5
KINDS = ("user_0", "user_1", "user_2", "item_0", "item_1")


def read_outs(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {kind: torch.randn(N, DIM, generator=generator) for kind in KINDS}


def batch() -> PairBatch:
    return PairBatch(
        users=torch.tensor([3, 1, 4, 1, 5, 9]),
        items=torch.tensor([2, 6, 5, 3, 5, 8]),
        known_items=torch.tensor([[2, 3], [6, 3], [5, -1], [3, 6], [5, 8], [8, -1]]),
        known_users=torch.tensor([[3, 1], [1, -1], [4, 5], [1, -1], [5, 4], [9, -1]]),
        item_known_users=torch.tensor([[3, -1], [1, -1], [4, 5], [1, -1], [4, 5], [9, 5]]),
        has_pair=torch.tensor([True, True, True, True, True, False]),
        has_audience=torch.tensor([True, True, False, True, True, True]),
    )


def by_hand(query, key, queries, keys, bank, pairs, rows=range(N), temperature=0.1) -> float:
    """Mean InfoNCE over usable pairs of rows. ``bank``: list of (vector, id) per key kind."""
    losses = []
    for row in rows:
        if ("item" in query + key and not pairs.has_pair[row]) or (
            "item_1" in (query, key) and not pairs.has_audience[row]
        ):
            continue
        known = pairs.false_negatives(query, key)[row].tolist()
        asked = F.normalize(queries[query][row], dim=0)
        cosines = [asked @ F.normalize(keys[key][row], dim=0)]
        cosines += [asked @ F.normalize(vector, dim=0) for vector, i in bank[key] if i not in known]
        losses.append(torch.logsumexp(torch.stack(cosines) / temperature, 0) - cosines[0] / temperature)
    return torch.stack(losses).mean()


def bank_of(keys, pairs, examples=range(N)) -> dict[str, list]:
    found = {kind: [] for kind in KINDS}
    for kind in KINDS:
        for row in range(N) if kind in ("user_0", "item_0") else examples:
            if kind != "item_1" or pairs.has_audience[row]:
                found[kind].append((keys[kind][row], int((pairs.users if "user" in kind else pairs.items)[row])))
    return found


@pytest.mark.parametrize("examples", [None, [1, 2, 5]])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("queue", [0, 40])
def test_against_a_loop(symmetric, queue, examples):
    """With ``examples``, the other pairs have E_u^0 and E_t^0 only, and only `user_to_item` compares theirs."""
    weights = {"user_to_user": 0.5, "user_to_item": 1.0, "history_to_item": 2.0, "neighborhood": 0.25}
    lengths = {"user": queue, "item": queue}
    losses = GraphAlignment(weights, DIM, queue_lengths=lengths, temperature=0.1, symmetric=symmetric)
    pairs, some = batch(), examples or list(range(N))
    pairs.examples = None if examples is None else torch.tensor(examples)
    earlier, queries, keys = read_outs(1), read_outs(2), read_outs(3)

    def given(vectors):
        return {kind: value if kind in ("user_0", "item_0") else value[some] for kind, value in vectors.items()}

    losses(given(earlier), given(earlier), pairs)  # fills the queues
    total, logs = losses(given(queries), given(keys), pairs)
    bank = bank_of(earlier if queue else keys, pairs, some)
    expected = 0.0
    for name, weight in weights.items():
        # E_t^1 is never a query.
        ways = [ALIGNMENTS[name], ALIGNMENTS[name][::-1]][: 1 + (symmetric and name != "neighborhood")]
        rows = range(N) if name == "user_to_item" else some
        found = sum(by_hand(*way, queries, keys, bank, pairs, rows) for way in ways) / len(ways)
        assert logs[f"{name}_loss"] == pytest.approx(float(found), rel=1e-5)
        expected = expected + weight * found
    torch.testing.assert_close(total, expected)
    if queue:
        assert len(losses.queues) == (5 if symmetric else 3)
        assert logs["item_0_queue_fill"] == pytest.approx(12 / 40)
        audience = 2 * sum(batch().has_audience[row].item() for row in some)
        assert logs["item_1_queue_fill"] == pytest.approx(audience / 40), "an item without users became a key"
        assert logs["item_0_queue_age"] == pytest.approx(0.5)


def test_a_query_never_meets_its_own_key():
    """Keys are enqueued after the loss: with an empty queue there are no negatives."""
    losses = GraphAlignment({"history_to_item": 1.0}, DIM, queue_lengths={"user": 8, "item": 8})
    total, logs = losses(read_outs(1), read_outs(2), batch())
    assert total == 0 and logs["item_0_queue_fill"] == 6 / 8
    total, _ = losses(read_outs(1), read_outs(2), batch())
    assert total > 0


def test_keys_get_no_gradient_and_both_sides_are_queries():
    losses = GraphAlignment({"user_to_item": 1.0}, DIM, queue_lengths={"user": 0, "item": 0})
    queries = {kind: value.requires_grad_() for kind, value in read_outs(1).items()}
    keys = {kind: value.requires_grad_() for kind, value in read_outs(2).items()}
    total, logs = losses(queries, keys, batch())
    total.backward()
    assert queries["user_0"].grad is not None and queries["item_0"].grad is not None
    assert queries["user_2"].grad is None and all(value.grad is None for value in keys.values())
    assert {f"user_to_item_{part}" for part in ("loss", "positive", "negative", "alignment")} <= set(logs)
    assert all(math.isfinite(value) for value in logs.values())
    assert losses.query_kinds == losses.key_kinds == ("user_0", "item_0")


def test_two_processes_average_to_one():
    """Pairs split unevenly: the mean of both processes' losses is the loss of all pairs."""
    pairs, queries, keys = batch(), read_outs(1), read_outs(2)
    make = dict(weights=dict.fromkeys(ALIGNMENTS, 1.0), dim=DIM, queue_lengths={"user": 0, "item": 0})
    whole, _ = GraphAlignment(**make)(queries, keys, pairs)
    parts = [slice(0, 2), slice(2, N)]
    names = ("users", "items", "known_items", "known_users", "item_known_users", "has_pair", "has_audience")
    pieces = [PairBatch(**{name: getattr(pairs, name)[part] for name in names}) for part in parts]

    def calls(rank: int) -> list[torch.Tensor]:
        found = []

        def record(tensor):
            found.append(tensor)
            return tensor

        part = parts[rank]
        local = ({k: v[part] for k, v in queries.items()}, {k: v[part] for k, v in keys.items()})
        GraphAlignment(**make)(*local, pieces[rank], record)
        return found

    recorded = [calls(0), calls(1)]
    totals = []
    for rank, part in enumerate(parts):
        step = iter(zip(*recorded, strict=True))
        local = ({k: v[part] for k, v in queries.items()}, {k: v[part] for k, v in keys.items()})
        totals.append(GraphAlignment(**make)(*local, pieces[rank], lambda tensor, step=step: torch.cat(next(step)))[0])
    torch.testing.assert_close(sum(totals) / 2, whole)


def test_queues_go_on_after_a_resume():
    make = dict(weights={"neighborhood": 1.0}, dim=DIM, queue_lengths={"user": 7, "item": 7})
    first, second = GraphAlignment(**make), GraphAlignment(**make)
    first(read_outs(1), read_outs(2), batch())
    second.load_state_dict(first.state_dict())
    again = [losses(read_outs(3), read_outs(4), batch())[0] for losses in (first, second)]
    assert torch.equal(*again)


@pytest.mark.parametrize("weights", [{"other": 1.0}, {"user_to_user": -1.0}, {}, {"user_to_user": 0.0}])
def test_bad_weights(weights):
    with pytest.raises(ValueError, match="loss_weights"):
        GraphAlignment(weights, DIM, queue_lengths={"user": 4, "item": 4})
