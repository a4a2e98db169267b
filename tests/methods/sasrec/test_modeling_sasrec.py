"""SASRec: causality, its losses against loops, saving, and life as remote code."""

import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModel

from hf_llmrec.methods.sasrec.configuration_sasrec import SASRecConfig
from hf_llmrec.methods.sasrec.modeling_sasrec import SASRecModel

ITEMS = 30


def make(**options) -> SASRecModel:
    torch.manual_seed(0)
    sizes = {
        "num_items": ITEMS,
        "hidden_size": 16,
        "max_position_embeddings": 8,
        "initializer_range": 0.3,
        "cosine_scores": False,
    }
    model = SASRecModel(SASRecConfig(**{**sizes, **options}))
    model.set_item_counts(torch.arange(ITEMS) + 1)
    if model.repeat_bias is not None:
        model.repeat_bias.data.fill_(-0.3)
    return model


NOTHING = torch.full((6, 0), ITEMS)


@pytest.fixture
def histories() -> torch.Tensor:
    return torch.randint(ITEMS, (5, 8), generator=torch.Generator().manual_seed(1))


def test_no_item_sees_what_comes_after_it(histories):
    model = make().eval()
    changed = histories.clone()
    changed[:, 5:] = ITEMS  # padding is just another later item
    states, others = model(histories).last_hidden_state, model(changed).last_hidden_state
    torch.testing.assert_close(states[:, :5], others[:, :5])
    assert not torch.allclose(states[:, 5:], others[:, 5:])


def test_the_latest_items_of_a_long_history_are_read(histories):
    model = make().eval()
    long = torch.cat([histories[:, :3], histories], dim=1)
    long[0, 9:] = ITEMS  # nine items, the first of which is too old
    expected = model.user_vectors(histories[1:])
    torch.testing.assert_close(model.user_vectors(long)[1:], expected)
    torch.testing.assert_close(model.user_vectors(long)[0], model.user_vectors(long[:1, 1:9])[0])
    assert model.score_histories(torch.full((1, 1), ITEMS)).isfinite().all()


@pytest.mark.parametrize("cosine", [False, True])
def test_full_softmax_is_the_cross_entropy_of_the_labelled_positions(histories, cosine):
    model = make(loss="full_softmax", cosine_scores=cosine).eval()
    labels = histories.roll(-1, dims=1)
    labels[:, -1] = -100
    labels[2] = -100
    output = model(histories, labels=labels)
    scores = torch.stack([model.score_histories(row[: i + 1].unsqueeze(0))[0] for row in histories for i in range(8)])
    expected = F.cross_entropy(scores, labels.flatten(), ignore_index=-100)
    torch.testing.assert_close(output.loss, expected)
    half = model(histories, labels=labels, num_items_in_batch=56)  # of an accumulated batch twice as large
    torch.testing.assert_close(half.loss, expected / 2)


def test_in_batch_negatives_against_a_loop():
    model = make(negatives="in_batch", cosine_scores=True, repeat_bias=False).train()
    hidden = torch.randn(6, 16, generator=torch.Generator().manual_seed(2))
    targets = torch.tensor([3, 7, 3, 20, 29, 7])
    counts = torch.arange(ITEMS) + 1.0
    total = 0.0
    for state, target in zip(hidden, targets, strict=True):
        own = model.item_scores(state.unsqueeze(0), target.unsqueeze(0))[0, 0]
        others = [
            model.item_scores(state.unsqueeze(0), other.unsqueeze(0))[0, 0]
            - torch.log(6 * counts[other] / counts.sum())
            for other in targets
            if other != target
        ]
        total += torch.stack([own, *others]).logsumexp(0) - own
    torch.testing.assert_close(model.next_item_loss(hidden, targets, NOTHING), total / 6)


@pytest.mark.parametrize("repeat_bias", [False, True])
def test_sampled_softmax_estimates_the_full_one_if_corrected(repeat_bias):
    hidden = torch.randn(4, 16, generator=torch.Generator().manual_seed(2))
    targets = torch.tensor([3, 7, 3, 20])
    seen = torch.tensor([[3, 5, 5, 9], [1, 2, 30, 30], [30] * 4, [4, 4, 4, 4]])
    options = {"repeat_bias": repeat_bias}
    full = make(loss="full_softmax", **options).train().next_item_loss(hidden, targets, seen)
    many = {"num_negatives": 200_000, **options}
    torch.testing.assert_close(make(**many).train().next_item_loss(hidden, targets, seen), full, rtol=0.01, atol=0.0)
    without = make(**many, logq_correction=False).train().next_item_loss(hidden, targets, seen)
    assert without > full + 5
    # While it is evaluated the loss is the full one, which no sample blurs.
    torch.testing.assert_close(make(**options).eval().next_item_loss(hidden, targets, seen), full)


def test_the_bias_is_on_the_items_of_the_history_once_each(histories):
    model = make().eval()
    inputs = histories[:2].clone()
    inputs[0, :3] = 7
    inputs[1, 4:] = ITEMS
    plain = model.item_scores(model.user_vectors(inputs))
    expected = plain.clone()
    for row in range(2):
        expected[row, sorted({i for i in inputs[row].tolist() if i != ITEMS})] -= 3.0
    torch.testing.assert_close(model.score_histories(inputs), expected)
    with torch.no_grad():
        torch.testing.assert_close(model.score_histories(inputs), expected)


def test_the_history_so_far_is_among_the_candidates(histories, monkeypatch):
    """Against a loop; the sampled negatives are fixed."""
    model = make(num_negatives=5, hidden_dropout=0.0, cosine_scores=True).train()
    drawn = torch.tensor([0, 1, 2, 3, 1])
    monkeypatch.setattr(torch, "randint", lambda *args, **kwargs: drawn)
    inputs, labels = histories[:2, :-1].clone(), histories[:2, 1:].clone()
    inputs[1, 4:], labels[1, 3:] = ITEMS, -100
    inputs[0, 1] = 2  # a sampled one that is in the history counts as the latter only
    inputs[0, 3] = inputs[0, 0]  # twice in the history is one candidate
    labels[0, 5] = inputs[0, 2]  # an item that comes again is no negative of itself
    states = model(inputs).last_hidden_state
    total, count = 0.0, 0

    def score(state, item):
        return model.item_scores(state, torch.tensor([item]))[0, 0]

    for row, place in (labels != -100).nonzero().tolist():
        state, target = states[row, place].unsqueeze(0), int(labels[row, place])
        seen = set(inputs[row, : place + 1].tolist())
        sampled = [item for item in drawn.tolist() if item != target and item not in seen]
        others = [score(state, item) - torch.tensor(5 / ITEMS).log() for item in sampled]
        others += [score(state, item) - 3.0 for item in seen if item != target]
        own = score(state, target) - (3.0 if target in seen else 0.0)
        total, count = total + torch.stack([own, *others]).logsumexp(0) - own, count + 1
    torch.testing.assert_close(model(inputs, labels=labels).loss, total / count)


@pytest.mark.parametrize("negatives", ["uniform", "in_batch"])
def test_every_parameter_learns(histories, negatives):
    model = make(negatives=negatives, hidden_dropout=0.1).train()
    model(histories[:, :-1], labels=histories[:, 1:]).loss.backward()
    assert all(value.grad.abs().sum() > 0 for name, value in model.named_parameters() if "qkv.bias" not in name)


def test_saved_and_loaded(histories, tmp_path):
    model = make().eval()
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert type(loaded) is SASRecModel
    torch.testing.assert_close(loaded.score_histories(histories), model.score_histories(histories))


def test_it_travels_as_remote_code(histories, tmp_path):
    model = make().eval()
    model.save_pretrained(tmp_path / "repo")
    code = (
        "import sys, torch\n"
        "from transformers import AutoModel\n"
        f"model = AutoModel.from_pretrained({str(tmp_path / 'repo')!r}, trust_remote_code=True)\n"
        "assert 'hf_llmrec' not in sys.modules\n"
        f"print(model.score_histories(torch.tensor({histories.tolist()})).argmax(1).tolist())"
    )
    environment = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(model.score_histories(histories).argmax(1).tolist())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"loss": "hinge"}, "loss must be one of"),
        ({"negatives": "hard"}, "negatives must be one of"),
        ({"hidden_size": 15}, "multiple of num_attention_heads"),
        ({"num_negatives": 0}, "must be positive"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(Exception, match=message):
        make(**options)


def test_too_long_a_row_is_an_error():
    with pytest.raises(ValueError, match="at most 8"):
        make()(torch.zeros(1, 9, dtype=torch.long))
