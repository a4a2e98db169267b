import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, LlamaConfig

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
