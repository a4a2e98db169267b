import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, LlamaConfig

from hf_llmrec.generation.item_trie import ItemTrie
from hf_llmrec.methods.lcrec.loss import IndexLoss, add_index_loss

LEVELS = [[10, 11, 12], [13, 14, 15, 16]]


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=20,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    return AutoModelForCausalLM.from_config(config).double()


@pytest.fixture
def batch():
    input_ids = torch.tensor([[1, 10, 13, 11, 16], [1, 4, 5, 12, 14]])
    labels = torch.tensor([[-100, 10, 13, 11, 16], [-100, -100, 5, 12, 14]])
    return input_ids, labels


def test_vocab_loss_is_the_models_own(model, batch):
    input_ids, labels = batch
    expected = model(input_ids=input_ids, labels=labels).loss
    add_index_loss(model, IndexLoss(LEVELS, "vocab"))
    sums = model(input_ids=input_ids, labels=labels, index_loss=True)
    assert (sums["index_count"], sums["text_count"]) == (6, 1)
    found = (sums["index_loss_sum"] + sums["text_loss_sum"]) / 7
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("levels", [LEVELS, [[10, 12, 15], [11, 13, 14, 16]]], ids=["contiguous", "scattered"])
def test_level_loss_normalises_over_the_codes_of_the_level(model, batch, levels):
    input_ids, labels = batch
    logits = model(input_ids=input_ids).logits[:, :-1].float()
    expected = 0.0
    for row, position in torch.nonzero(labels[:, 1:] != -100).tolist():
        label = int(labels[row, position + 1])
        ids = next((ids for ids in levels if label in ids), list(range(20)))
        expected -= F.log_softmax(logits[row, position, ids], -1)[ids.index(label)].item()
    add_index_loss(model, IndexLoss(levels, "level"))
    sums = model(input_ids=input_ids, labels=labels, index_loss=True)
    assert (sums["index_loss_sum"] + sums["text_loss_sum"]).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("index_loss", ["level", "vocab"])
def test_parts_give_the_loss_and_gradients_of_the_whole(model, batch, index_loss, monkeypatch):
    input_ids, labels = batch
    labels = torch.where(labels == -100, input_ids, labels)
    add_index_loss(model, IndexLoss(LEVELS, index_loss))
    found = []
    for most in (2**27, 40):  # all at once; two positions at once
        monkeypatch.setattr("hf_llmrec.methods.lcrec.loss.MOST_LOGITS", most)
        model.zero_grad()
        sums = model(input_ids=input_ids, labels=labels, index_loss=True)
        (sums["index_loss_sum"] + sums["text_loss_sum"]).backward()
        found.append(
            ({name: value.item() for name, value in sums.items()}, [p.grad.clone() for p in model.parameters()])
        )
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5) and found[0][0]["text_count"] == 2
    for whole, parts in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-4)


# Items (0, 0), (0, 3), (1, 3), (2, 1) and (2, 2): the batch has the items (0, 0), (1, 3) and (2, 1).
ITEMS = np.array([[0, 0], [0, 3], [1, 3], [2, 1], [2, 2]])


@pytest.mark.parametrize("levels", [LEVELS, [[10, 12, 15], [11, 13, 14, 16]]], ids=["contiguous", "scattered"])
def test_children_loss_normalises_over_the_codes_that_continue_an_item(model, levels):
    tokens = [[levels[0][first], levels[1][second]] for first, second in ITEMS.tolist()]
    input_ids = torch.tensor([[*tokens[0], *tokens[2], 1], [1, 4, 5, *tokens[3]]])
    labels = torch.tensor([[*tokens[0], *tokens[2], -100], [-100, -100, 5, *tokens[3]]])
    logits = model(input_ids=input_ids).logits.float()
    expected = 0.0
    for row, place, prefix, code in [(0, 0, [0], 0), (0, 1, [], 1), (0, 2, [1], 3), (1, 2, [], 2), (1, 3, [2], 1)]:
        level = len(prefix)
        children = sorted({int(item[level]) for item in ITEMS if item[:level].tolist() == prefix})
        over = logits[row, place, [levels[level][child] for child in children]]
        expected -= over.log_softmax(-1)[children.index(code)].item()
    text = -logits[1, 1].log_softmax(-1)[5].item()
    add_index_loss(model, IndexLoss(levels, "children", trie=ItemTrie.from_codes(ITEMS)))
    sums = model(input_ids=input_ids, labels=labels, index_loss=True)
    assert sums["index_loss_sum"].item() == pytest.approx(expected, abs=1e-5) and sums["index_count"] == 5
    assert sums["text_loss_sum"].item() == pytest.approx(text, abs=1e-5)
    sums["loss_sum"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_children_losses_add_up_to_probabilities_of_items(model):
    """exp(-loss) of all items after a history sums to 1, which the level loss leaves to codes of no item."""
    sums = {}
    for index_loss in ("children", "level"):
        loss = IndexLoss(LEVELS, index_loss, trie=ItemTrie.from_codes(ITEMS))
        history, total = [1, 11, 16], 0.0
        for first, second in ITEMS.tolist():
            answer = [LEVELS[0][first], LEVELS[1][second]]
            ids = torch.tensor([[*history, *answer]])
            hidden = model.model(input_ids=ids).last_hidden_state
            found = loss(hidden, torch.tensor([[-100] * 3 + answer]), model.get_output_embeddings())
            total += torch.exp(-found["loss_sum"]).item()
        sums[index_loss] = total
    assert sums["children"] == pytest.approx(1, abs=1e-5) and sums["level"] < 0.9


def test_children_loss_in_parts_is_that_of_the_whole(model, batch, monkeypatch):
    input_ids, labels = batch
    add_index_loss(model, IndexLoss(LEVELS, "children", trie=ItemTrie.from_codes(ITEMS)))
    found = []
    for most in (2**27, 40):
        monkeypatch.setattr("hf_llmrec.methods.lcrec.loss.MOST_LOGITS", most)
        model.zero_grad()
        sums = model(input_ids=input_ids, labels=labels, index_loss=True)
        sums["loss_sum"].backward()
        found.append((sums["loss_sum"].item(), [p.grad.clone() for p in model.parameters()]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    for whole, parts in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-4)


def test_children_loss_refuses_codes_of_no_item(model):
    add_index_loss(model, IndexLoss(LEVELS, "children", trie=ItemTrie.from_codes(ITEMS)))
    for answer in ([11, 13], [-100, 13]):  # (1, 0) is no item; the second has no first code
        labels = torch.tensor([[-100, *answer]])
        with pytest.raises(ValueError, match="a code of level 2 is labelled that no item has"):
            model(input_ids=torch.tensor([[1, 11, 13]]), labels=labels, index_loss=True)


@pytest.mark.parametrize("index_loss", ["level", "vocab", "children"])
def test_level_weights_have_mean_one_and_leave_text_and_reported_losses_alone(model, batch, index_loss):
    input_ids, labels = batch

    def sums(weights, labels):
        loss = IndexLoss(LEVELS, index_loss, level_weights=weights, trie=ItemTrie.from_codes(ITEMS))
        hidden = model.model(input_ids=input_ids).last_hidden_state
        return {name: value.item() for name, value in loss(hidden, labels, model.get_output_embeddings()).items()}

    # `children` needs the first codes: the losses of the second ones are what remains.
    plain = sums(None, labels)
    first = sums(None, torch.where((labels >= 10) & (labels < 13), labels, -100))["index_loss_sum"]
    second = plain["index_loss_sum"] - first
    assert plain["loss_sum"] == np.float32(plain["index_loss_sum"]) + np.float32(plain["text_loss_sum"])
    weighted = sums([3.0, 1.0], labels)
    expected = 1.5 * first + 0.5 * second + plain["text_loss_sum"]
    assert weighted["loss_sum"] == pytest.approx(expected, rel=1e-5)
    assert {**weighted, "loss_sum": 0} == {**plain, "loss_sum": 0}
    assert sums([2.0, 2.0], labels)["loss_sum"] == pytest.approx(plain["loss_sum"], rel=1e-6)


def test_bad_index_losses():
    with pytest.raises(ValueError, match="level_loss_weights must be one per level of the index, 2"):
        IndexLoss(LEVELS, level_weights=[1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="index_loss children needs the trie"):
        IndexLoss(LEVELS, "children")
    with pytest.raises(ValueError, match="index_loss must be one of"):
        IndexLoss(LEVELS, "leaves")


def test_a_batch_of_text_alone_still_reaches_every_parameter(model):
    add_index_loss(model, IndexLoss(LEVELS))
    input_ids = torch.tensor([[1, 2, 3]])
    sums = model(input_ids=input_ids, labels=torch.tensor([[-100, -100, -100]]), index_loss=True)
    (sums["index_loss_sum"] + sums["text_loss_sum"]).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_without_the_flag_the_forward_is_untouched(model, batch):
    before = model(input_ids=batch[0]).logits
    add_index_loss(model, IndexLoss(LEVELS))
    assert torch.equal(model(input_ids=batch[0]).logits, before)


def test_unknown_normalisation():
    with pytest.raises(ValueError, match="index_loss"):
        IndexLoss(LEVELS, "children")
