"""The model: its loss against loops, whitening and adaptor against NumPy, causality, candidates, the repeat bias."""

import math

import numpy as np
import pytest
import torch

from hf_llmrec.methods.text_encoder.configuration_text_encoder import TextEncoderConfig
from hf_llmrec.methods.text_encoder.modeling_text_encoder import REPEAT_SCALE, WHITENING_FLOOR, TextEncoderModel
from hf_llmrec.methods.text_encoder.repeat_bias import best_repeat_bias

ITEMS, WIDTH = 20, 6
INPUTS = torch.tensor([[3, 4, 3, 7], [0, 5, ITEMS, ITEMS], [9, 9, 1, ITEMS]])
LABELS = torch.tensor([[4, 3, 9, 3], [5, 11, -100, -100], [9, 2, 13, -100]])


@pytest.fixture
def vectors():
    return torch.from_numpy(
        np.random.default_rng(0).standard_normal((ITEMS, WIDTH)).astype(np.float32) * [3, 2, 1, 1, 0.5, 0.1]
    ).float()


@pytest.fixture
def model(vectors):
    torch.manual_seed(0)
    sizes = {"num_items": ITEMS, "text_size": WIDTH, "hidden_size": 8, "max_position_embeddings": 5}
    model = TextEncoderModel(TextEncoderConfig(num_negatives=0, initializer_range=0.3, hidden_dropout=0.0, **sizes))
    model.set_text_vectors(vectors)
    model.repeat_bias.data.fill_(0.07)
    return model.eval()


def loss_by_loops(model, allowed):
    """Mean over the labels of -log p(target) among the target, the history and the allowed items."""
    items, losses = model.item_vectors().double(), []
    hidden = model(INPUTS).last_hidden_state.double()
    for row, position in (LABELS != -100).nonzero().tolist():
        target, history = int(LABELS[row, position]), set(INPUTS[row, : position + 1].tolist())
        own = set(INPUTS[row].tolist()) | set(LABELS[row].tolist())
        candidates = {target} | history | (set(allowed) - own)
        cosines = hidden[row, position] @ items.T / model.config.score_temperature
        score = {item: cosines[item] + (REPEAT_SCALE * 0.07 if item in history else 0) for item in candidates}
        total = torch.logsumexp(torch.stack(list(score.values())), 0)
        losses.append(total - score[target])
    return torch.stack(losses).mean().float()


def test_the_loss_in_evaluation_is_over_all_items_but_the_users_later_ones(model):
    torch.testing.assert_close(model(INPUTS, LABELS).loss, loss_by_loops(model, range(ITEMS)))


def test_in_training_only_candidates_are_negatives(model):
    model.candidates[[0, 2, 17, 18, 19]] = 0.0
    allowed = model.candidates.nonzero().squeeze(1).tolist()
    expected, everything = loss_by_loops(model, allowed), loss_by_loops(model, range(ITEMS))
    torch.testing.assert_close(model.train()(INPUTS, LABELS).loss, expected)
    assert not torch.isclose(expected, everything)


def test_sampled_negatives_estimate_the_loss_over_all_of_them(model):
    model.candidates[[17, 18, 19]] = 0.0
    expected = loss_by_loops(model, range(17))
    model.config.num_negatives = 20_000
    torch.manual_seed(1)
    drawn, correction = model.train()._draw_negatives()
    assert set(drawn.tolist()) == set(range(17)) and correction == pytest.approx(math.log(20_000 / 17))
    assert model(INPUTS, LABELS).loss.item() == pytest.approx(expected.item(), abs=0.02)


def test_the_loss_is_divided_by_the_labels_of_the_accumulated_batch(model):
    mean = model(INPUTS, LABELS).loss
    torch.testing.assert_close(model(INPUTS, LABELS, num_items_in_batch=torch.tensor(18)).loss, mean * 9 / 18)


def test_whitening_and_adaptor_against_numpy(model, vectors):
    raw = vectors.double().numpy()
    centred = raw - raw.mean(0)
    variances, directions = np.linalg.eigh(np.cov(raw.T, bias=True))
    whitened = centred @ directions / np.sqrt(variances + WHITENING_FLOOR * variances.mean())
    found = model.text_vectors.double().numpy()
    np.testing.assert_allclose(np.abs(found), np.abs(whitened[:, ::-1]), atol=1e-4)  # eigenvectors have no sign
    weight, bias = (part.numpy() for part in model.linear_adaptor())
    adapted = raw @ weight.T + bias
    adapted /= np.linalg.norm(adapted, axis=1, keepdims=True)
    np.testing.assert_allclose(model.item_vectors().detach().numpy(), adapted, atol=1e-5)
    rows = torch.tensor([[3, ITEMS]])
    torch.testing.assert_close(model.item_vectors(rows)[0, 0], model.item_vectors()[3])
    assert not model.item_vectors(rows)[0, 1].any(), "padding"


def test_no_position_reads_a_later_one(model):
    changed = INPUTS.clone()
    changed[:, 2:] = 12
    before, after = model(INPUTS).last_hidden_state, model(changed).last_hidden_state
    torch.testing.assert_close(before[:, :2], after[:, :2])
    assert (before[0, 2] - after[0, 2]).abs().max() > 1e-3


def test_the_latest_items_of_a_long_history_are_read(model):
    long = torch.tensor([[1, 2, 3, 4, 5, 6, 7], [6, 2, ITEMS, ITEMS, ITEMS, ITEMS, ITEMS]])
    torch.testing.assert_close(model.user_vectors(long)[0], model.user_vectors(long[:1, 2:])[0])
    torch.testing.assert_close(model.user_vectors(long)[1], model.user_vectors(long[1:, :2])[0])
    nothing = model.score_histories(torch.full((1, 1), ITEMS))
    assert nothing.shape == (1, ITEMS) and nothing.isfinite().all()
    with pytest.raises(ValueError, match="histories of 7 items: at most 5"):
        model(long)


def test_items_of_the_history_get_the_bias_once(model):
    queries = torch.nn.functional.normalize(torch.randn(3, 8, generator=torch.manual_seed(0)), dim=-1)
    plain = queries @ model.item_vectors().T / model.config.score_temperature
    bonus = torch.zeros(3, ITEMS)
    for row, items in enumerate(([3, 4, 7], [0, 5], [9, 1])):
        bonus[row, items] = REPEAT_SCALE * 0.07
    torch.testing.assert_close(model.score_queries(queries, INPUTS), plain + bonus)


def test_the_best_repeat_bias_has_the_largest_likelihood():
    rng = torch.manual_seed(0)
    scores, seen = torch.randn(50, 10, generator=rng), torch.rand(50, 10, generator=rng) < 0.3
    seen[:, 0], seen[:, 1] = True, False
    targets = torch.where(torch.arange(50) < 19, 0, 1)  # with one repeat and one new item added: 20 of 52
    bias = best_repeat_bias(scores, seen, targets)
    again = (scores.double() + bias * seen).softmax(1).masked_fill(~seen, 0).sum(1)
    assert again.mean().item() == pytest.approx(20 / 52, abs=1e-6)
    assert abs(best_repeat_bias(scores, torch.zeros_like(seen), targets)) == pytest.approx(50)


def test_saved_and_loaded(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = TextEncoderModel.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded.score_histories(INPUTS), model.score_histories(INPUTS), rtol=0, atol=0)
    assert loaded.candidates.eq(1).all()


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"history_encoder": "lstm"}, "history_encoder must be one of"),
        ({"hidden_size": 10}, "must be a multiple of num_attention_heads"),
        ({"score_temperature": 0.0}, "score_temperature must be positive"),
        ({"num_negatives": -1}, "num_negatives must not be negative"),
    ],
)
def test_bad_configurations(fields, message):
    with pytest.raises(Exception, match=message):
        TextEncoderConfig(**fields)


def test_a_model_that_reads_texts_has_no_transformer():
    model = TextEncoderModel(TextEncoderConfig(num_items=ITEMS, text_size=WIDTH, history_encoder="text"))
    assert [name for name, _ in model.named_parameters()] == ["repeat_bias"]
    for call in (model.linear_adaptor, lambda: model(INPUTS)):
        with pytest.raises(ValueError, match="history_encoder is 'text'"):
            call()
