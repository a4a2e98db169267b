"""L_rec against a loop over positions, candidates and history."""

import pytest
import torch
from torch.nn import functional as F

from hf_llmrec.methods.galrec.entity_layers import REPEAT_SCALE, contained, first_occurrences

from .conftest import NUM_ITEMS, build, sequence


def by_hand(model, ids, user_items, labels) -> list[float]:
    """Cross-entropies over the catalogue, one position at a time."""
    hidden = model.model(ids, user_items=user_items).last_hidden_state
    vectors = F.normalize(model.model.item_vectors(), dim=-1)
    first, end = model.config.first_item_id, model.config.special_token_ids["USER_1"]
    found = []
    for row in range(len(ids)):
        for place in range(ids.shape[1]):
            if labels[row, place] == -100:
                continue
            hop_1, state = ids[row].tolist().index(end), hidden[row, place]
            if place == ids.shape[1] - 1:  # [REC]
                state = hidden[row, hop_1 - 1] + model.model.rec_gate.gate * state
            scores = F.normalize(state, dim=-1) @ vectors.T / 0.1
            for item in {int(t) - first for t in ids[row, : min(hop_1, place + 1)]}:
                if item >= 0:
                    scores[item] = scores[item] + REPEAT_SCALE * model.model.item_scorer.repeat_bias[0]
            found.append(F.cross_entropy(scores, labels[row, place]))
    return torch.stack(found)


@pytest.fixture
def case():
    model = build(rec_weight=3.0)
    with torch.no_grad():
        model.model.item_scorer.repeat_bias.fill_(-0.4)
    # An item twice in a history, one that is the target again, and hop-3 items, which are no history.
    ids = torch.cat([sequence(model, history=(3, 1, 3)), sequence(model, history=(5, 9, 2), further=(3, 1))])
    owners = torch.tensor([[3, 1, 3], [5, 9, 2]])
    labels = torch.full_like(ids, -100)
    labels[:, :3] = torch.tensor([[1, 3, 7], [9, 2, 3]])
    labels[:, -1] = torch.tensor([7, 5])
    return model, ids, owners, labels


def test_over_the_catalogue(case):
    model, ids, owners, labels = case
    expected = by_hand(model, ids, owners, labels)
    found = model(ids, user_items=owners, labels=labels)
    torch.testing.assert_close(found.rec_losses, expected, atol=1e-4, rtol=1e-4)
    assert found.at_rec.tolist() == [False, False, False, True] * 2
    weights = torch.tensor([1.0, 1.0, 1.0, 3.0] * 2)
    torch.testing.assert_close(found.loss, (expected * weights).sum() / 8, atol=1e-4, rtol=1e-4)
    halved = model(ids, user_items=owners, labels=labels, num_items_in_batch=16).loss
    torch.testing.assert_close(halved, found.loss / 2)


@pytest.mark.parametrize("repeat_bias", [True, False])
def test_samples_estimate_it(repeat_bias):
    """With many uniform negatives the sampled softmax is the full one, in value and gradient."""
    gradients, losses = [], []
    for rec_loss in ("full_softmax", "sampled_softmax"):
        model = build(rec_loss=rec_loss, num_negatives=60_000, repeat_bias=repeat_bias).train()
        ids = sequence(model, history=(3, 1, 3))
        labels = torch.full_like(ids, -100)
        labels[:, :3], labels[:, -1] = torch.tensor([1, 3, 7]), 7
        loss = model(ids, user_items=torch.tensor([[3, 1, 3]]), labels=labels).loss
        loss.backward()
        losses.append(loss.detach())
        gradients.append(model.model.entities.item_residual.weight.grad)
    torch.testing.assert_close(*losses, atol=0.02, rtol=0.02)
    scale = gradients[0].abs().max()
    assert (gradients[0] - gradients[1]).abs().max() < 0.05 * scale


def test_evaluation_never_samples(case):
    model, ids, owners, labels = case
    full = model(ids, user_items=owners, labels=labels).loss
    model.config.rec_loss, model.config.num_negatives = "sampled_softmax", 2
    assert torch.equal(model(ids, user_items=owners, labels=labels).loss, full)


def test_helpers():
    items = torch.tensor([[3, 1, 3, NUM_ITEMS, NUM_ITEMS]])
    assert first_occurrences(items).tolist() == [[True, True, False, True, False]]
    rows = torch.tensor([[1, 5], [7, 7]])
    assert contained(torch.tensor([5, 7, 2]), rows).tolist() == [[True, False, False], [False, True, False]]
