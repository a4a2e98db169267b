"""The model: what each read-out sees, round trips, and the auto classes with and without the package."""

import subprocess
import sys

import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, Trainer, TrainingArguments

from hf_llmrec.methods.galrec.configuration_galrec import SPECIAL_TOKENS, GALRecConfig
from hf_llmrec.methods.galrec.modeling_galrec import GALRecForCausalLM, GALRecModel

from .conftest import BACKBONES, NUM_ITEMS, SIZES, build, sequence, set_users

OWN = torch.tensor([[3, 1, 4]])


def readouts(model, input_ids, user_items=OWN) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        hidden = model.model(input_ids, user_items=user_items).last_hidden_state
    names = ("USER_1", "USER_2", "USER_3", "REC")
    return {name: model.model.readout_states(input_ids, hidden, name)[0] for name in names}


def changed(model, first, second, **owners) -> set[str]:
    before = readouts(model, first)
    after = readouts(model, second, **owners)
    return {name for name in before if not torch.allclose(before[name], after[name], atol=1e-6)}


@pytest.mark.parametrize(
    "difference, moved",
    [
        ({"history": (3, 1, 6)}, {"USER_1", "USER_2", "USER_3", "REC"}),
        ({"neighbors": (2, 8)}, {"USER_2", "USER_3", "REC"}),
        ({"further": (5, 9)}, {"USER_3", "REC"}),
    ],
)
def test_a_change_in_a_hop_leaves_earlier_readouts_unchanged(model, difference, moved):
    assert changed(model, sequence(model), sequence(model, **difference)) == moved


def test_a_change_of_the_own_token_moves_rec_and_user_0_only(model):
    special = model.config.special_token_ids
    ids, other = sequence(model), torch.tensor([[0, 2, 7]])
    assert changed(model, ids, ids, user_items=other) == {"REC"}
    own = torch.tensor([[special["USER"], special["USER_0"]]])
    states = [model(own, user_items=who, output_representations=True).representations[0, 0] for who in (OWN, other)]
    assert not torch.allclose(*states, atol=1e-6)


def test_a_backbone_that_sees_ahead_breaks_that(llama):
    """The tests above can fail: with attention in both directions every read-out moves."""
    ids = sequence(llama)
    mask = torch.ones(1, 1, ids.shape[1], ids.shape[1], dtype=torch.bool)
    both = [llama.model(x, user_items=OWN, attention_mask=mask) for x in (ids, sequence(llama, further=(5, 9)))]
    states = [llama.model.readout_states(ids, found.last_hidden_state, "USER_1") for found in both]
    assert not torch.allclose(*states, atol=1e-6)


def test_padding_changes_nothing(model):
    ids = sequence(model)
    padded = torch.cat([ids, torch.zeros(1, 4, dtype=torch.long)], dim=1)
    labels = torch.full_like(ids, -100)
    labels[0, -1] = 9
    more = torch.cat([labels, torch.full((1, 4), -100)], dim=1)
    one = model(ids, user_items=OWN, labels=labels, output_representations=True)
    two = model(padded, user_items=torch.tensor([[3, 1, 4, -1]]), labels=more, output_representations=True)
    torch.testing.assert_close(one.loss, two.loss)
    torch.testing.assert_close(one.representations, two.representations, atol=1e-5, rtol=1e-4)
    scores = [model.model.score_prompts(x, OWN) for x in (ids, padded)]
    torch.testing.assert_close(*scores, atol=1e-5, rtol=1e-4)
    assert scores[0].shape == (1, NUM_ITEMS) and scores[0].dtype == torch.float32


def test_readouts_that_a_sequence_does_not_have_are_zero(llama):
    found = llama(sequence(llama), user_items=OWN, output_representations=True).representations
    assert found.shape == (1, len(SPECIAL_TOKENS), 128)
    zero = llama.projection(torch.zeros(16))
    absent = [place for place, name in enumerate(SPECIAL_TOKENS) if name in ("USER_0", "ITEM_0", "ITEM_1")]
    torch.testing.assert_close(found[0, absent], zero.expand(3, -1))


def test_users_are_the_mean_of_their_items(llama):
    """External embeddings per kind, and the learned vectors: of a graph's users and of a history alike."""
    model = llama.model
    model.set_graph_users(torch.tensor([3, 1, 5]), torch.tensor([0, 2, 2, 3]))
    found = model.entities.user_vectors(torch.tensor([2, 0, 1]), torch.tensor([[3, 1, -1], [-1, -1, -1]]))
    expected = []
    for items in ([5], [3, 1], []):
        external = torch.zeros(10)
        for part in (slice(0, 4), slice(4, 10)) if items else ():  # collaborative, text
            mean = model.item_external[items, part].mean(0)
            external[part] = mean / mean.norm()
        learned = model.entities.item_residual.weight[items].mean(0) if items else torch.zeros(16)
        expected.append(model.entities.user_mapping(external[None])[0] + learned)
    torch.testing.assert_close(found, torch.stack([*expected, expected[1], expected[2]]))


def test_the_whole_model_is_trained(model):
    """Every parameter gets a gradient, also when a batch has no neighbours: DDP would wait for it."""
    model.train()
    ids = sequence(model, neighbors=(), further=())
    labels = torch.full_like(ids, -100)
    labels[0, 0], labels[0, -1] = 1, 9
    text = torch.tensor([[1, 2, 3]])
    loss = model(ids, user_items=OWN, labels=labels, output_representations=True)
    loss = loss.loss + loss.representations.sum() + model(text, text_labels=text).text_loss
    loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_saved_and_loaded_models_are_the_same(model, tmp_path):
    ids = sequence(model)
    expected = model.model.score_prompts(ids, OWN)
    model.save_pretrained(tmp_path)
    text = torch.tensor([[1, 2, 3]])
    for loaded in (GALRecForCausalLM.from_pretrained(tmp_path), AutoModelForCausalLM.from_pretrained(tmp_path)):
        assert type(loaded) is GALRecForCausalLM
        set_users(loaded.model)
        torch.testing.assert_close(loaded.model.score_prompts(ids, OWN), expected)
        torch.testing.assert_close(loaded(text).logits, model(text).logits)
        tied = loaded.lm_head.weight is loaded.get_input_embeddings().weight
        assert tied == model.config.text_config.tie_word_embeddings
    base = AutoModel.from_pretrained(tmp_path)
    assert type(base) is GALRecModel and not len(base.entities.user_external), "no user is published with a model"
    set_users(base)
    torch.testing.assert_close(base.score_prompts(ids, OWN), expected)
    again = tmp_path / "again"
    base.save_pretrained(again)
    base = AutoModel.from_pretrained(again)
    set_users(base)
    torch.testing.assert_close(base.score_prompts(ids, OWN), expected)


def test_remote_code_alone(llama, tmp_path):
    """In a process that does not have the package, nor its folder."""
    llama.save_pretrained(tmp_path / "model")
    ids = sequence(llama, neighbors=(), further=())
    expected = llama.model.score_prompts(ids, OWN)
    torch.save({"ids": ids, "expected": expected}, tmp_path / "expected.pt")
    code = """
import sys, torch
sys.modules["hf_llmrec"] = None
from transformers import AutoModel, AutoModelForCausalLM
given = torch.load("expected.pt")
own = torch.tensor([[3, 1, 4]])
base = AutoModel.from_pretrained("model", trust_remote_code=True)
causal = AutoModelForCausalLM.from_pretrained("model", trust_remote_code=True)
for model in (base, causal.model):
    torch.testing.assert_close(model.score_prompts(given["ids"], own), given["expected"])
causal.save_pretrained("again")
again = AutoModel.from_pretrained("again", trust_remote_code=True)
torch.testing.assert_close(again.score_prompts(given["ids"], own), given["expected"])
print(type(base).__name__, type(causal).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.splitlines()[-1] == "GALRecModel GALRecForCausalLM"


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_eager_attention_bf16_and_checkpointing(architecture, tmp_path):
    model = build(architecture)
    ids = sequence(model)
    expected = model.model.score_prompts(ids, OWN)
    model.save_pretrained(tmp_path)
    eager = GALRecForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    assert eager.model.language_model.config._attn_implementation == "eager"
    set_users(eager.model)
    torch.testing.assert_close(eager.model.score_prompts(ids, OWN), expected, atol=1e-4, rtol=1e-4)
    half = GALRecForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    set_users(half.model)
    labels = torch.full_like(ids, -100)
    labels[0, -1] = 9
    half.train()
    loss = half(ids, user_items=OWN, labels=labels).loss
    loss.backward()
    scores = half.eval().model.score_prompts(ids, OWN)
    assert scores.dtype == torch.float32 and (scores - expected).abs().max() < 1.0  # of scores between -10 and 10
    gradients = []
    for checkpointing in (False, True):
        whole = GALRecForCausalLM.from_pretrained(tmp_path)
        set_users(whole.model)
        if checkpointing:
            whole.activation_checkpointing_enable()
        whole.train()
        whole(ids, user_items=OWN, labels=labels).loss.backward()
        gradients.append(whole.model.entities.item_residual.weight.grad)
    torch.testing.assert_close(*gradients)


def test_text_is_still_generated(llama):
    """The backbone remains a language model: entity tokens in the prompt, text out."""
    ids = torch.cat([torch.tensor([[1, 2]]), torch.tensor([[llama.config.first_item_id + 3]])], dim=1)
    found = llama.generate(ids, max_new_tokens=4, do_sample=False, pad_token_id=0)
    assert found.shape == (1, 7) and (found[:, 3:] < llama.config.vocab_size).all()
    cached = llama(found).logits.argmax(-1)[0, 2:6]
    assert torch.equal(cached, found[0, 3:])


def test_a_plain_trainer_trains_it(tmp_path):
    model = build()
    ids = sequence(model)[0]
    labels = torch.full_like(ids, -100)
    labels[-1] = 9
    rows = [{"input_ids": ids, "labels": labels, "user_items": OWN[0]}] * 8
    arguments = TrainingArguments(tmp_path, max_steps=30, learning_rate=0.01, report_to="none", use_cpu=True)
    before = model(ids[None], labels=labels[None], user_items=OWN).loss.detach()
    Trainer(model, arguments, train_dataset=rows).train()
    model.eval()
    assert model(ids[None], labels=labels[None], user_items=OWN).loss < before / 4


def test_clear_errors(llama):
    model = llama.model
    with pytest.raises(ValueError, match="external embeddings of items must be"):
        model.set_item_vectors({"text": torch.zeros(NUM_ITEMS, 6)})
    with pytest.raises(ValueError, match="rows below 12"):
        model.set_graph_users(torch.tensor([12]), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="user_items"):
        model(sequence(llama))
    model.set_graph_users(torch.zeros(0, dtype=torch.long), torch.zeros(1))
    with pytest.raises(ValueError, match="set_graph_users"):
        model(sequence(llama), user_items=OWN)
    for fields, message in [
        ({"rec_loss": "none"}, "rec_loss"),
        ({"external_sizes": {"text": 0}}, "external_sizes"),
        ({"score_temperature": 0}, "score_temperature"),
        ({"embedding_dropout": 1}, "embedding_dropout"),
    ]:
        with pytest.raises(StrictDataclassClassValidationError, match=message):
            GALRecConfig(**fields)


def test_external_dropout_leaves_out_whole_kinds_each_by_itself_and_only_in_training(llama):
    config = GALRecConfig(
        text_config=llama.config.text_config,
        num_items=4000,
        external_sizes={"collaborative": 3, "text": 5},
        external_dropout=0.3,
        item_residual=False,
    )
    entities = GALRecModel(config).entities
    entities.set_item_vectors({"collaborative": torch.ones(4000, 3), "text": torch.ones(4000, 5)})
    with torch.no_grad():
        whole = entities.eval().item_vectors()
        found = entities.train().item_vectors()
    assert len(whole.unique(dim=0)) == 1
    # Both kinds, one or the other, or none: four vectors, as often as two coins of their own say.
    vectors, counts = found.unique(dim=0, return_counts=True)
    shares = sorted((counts / 4000).tolist())
    assert shares == pytest.approx([0.09, 0.21, 0.21, 0.49], abs=0.03)
    assert torch.allclose(vectors[counts.argmax()], whole[0], atol=1e-6)


@pytest.mark.parametrize("architecture", list(BACKBONES))
def test_around_a_large_backbone_no_second_one_is_made(architecture):
    def made(seed: int) -> GALRecForCausalLM:
        torch.manual_seed(0)
        backbone = AutoModelForCausalLM.from_config(AutoConfig.for_model(**BACKBONES[architecture].to_dict()))
        weights = {name: value.clone() for name, value in backbone.state_dict().items()}
        torch.manual_seed(seed)
        model = GALRecForCausalLM.from_backbone(backbone, low_memory=True, num_items=NUM_ITEMS, external_sizes=SIZES)
        assert model.model.language_model is backbone.base_model, "taken over, not copied"
        assert all(torch.equal(value, backbone.state_dict()[name]) for name, value in weights.items())
        return model

    first, again, other = made(1), made(1), made(2)
    for (name, value), same in zip(first.state_dict().items(), again.state_dict().values(), strict=True):
        assert value.device.type == "cpu" and torch.isfinite(value.float()).all(), name
        assert torch.equal(value, same), f"{name} follows from the seed"
    assert not torch.equal(first.projection.inner.weight, other.projection.inner.weight)
    whole = build(architecture)
    assert {name: value.shape for name, value in first.state_dict().items()} == {
        name: value.shape for name, value in whole.state_dict().items()
    }
    tied = BACKBONES[architecture].tie_word_embeddings
    assert (first.lm_head.weight is first.get_input_embeddings().weight) == tied


def test_layers_in_another_precision_than_the_tables(llama):
    """DeepSpeed casts parameters and leaves tables; with adapters our own layers stay in float32."""
    ids = sequence(llama)
    users = torch.tensor([[3, 1, 4]])
    expected = llama(input_ids=ids, user_items=users, output_representations=True).representations
    for parameter in llama.parameters():
        parameter.data = parameter.data.bfloat16()
    assert llama.model.item_external.dtype == torch.float32
    found = llama(input_ids=ids, user_items=users, output_representations=True).representations
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.15, rtol=0.1)
