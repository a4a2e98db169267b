"""`GALRecRecommender.from_backbone`: defaults of the start, external embeddings, and what it refuses."""

import numpy as np
import pytest
import torch
from peft import LoraConfig

from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.galrec.adapters import with_own_layers
from hf_llmrec.methods.galrec.recommender import GALRecRecommender
from hf_llmrec.methods.galrec.trainer import GALRecTrainer
from hf_llmrec.methods.galrec.trainer_config import GALRecTrainingConfig

TINY = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def make(dataset, backbone="tiny", **options):
    torch.manual_seed(0)
    scratch = {"overrides": TINY, "corpus_vocab_size": 300} if backbone == "tiny" else {}
    return GALRecRecommender.from_backbone(backbone, dataset=dataset, **{**scratch, **options})


def config(folder, **options):
    values = {"max_steps": 3, "eval_users": 20, "save_strategy": "no", "use_cpu": True, "disable_tqdm": True}
    return GALRecTrainingConfig(output_dir=str(folder), **{**values, **options})


def test_defaults_follow_from_the_start(dataset):
    scratch, tuned = make(dataset), make(dataset, pretrained=True)
    assert not scratch.is_pretrained and (scratch.prompt.template, scratch.prompt.title_hops) == ("bare", ())
    assert tuned.is_pretrained and (tuned.prompt.template, tuned.prompt.title_hops) == ("words", (0,))
    assert scratch.model.config.rec_dropout == 0.5 and tuned.model.config.rec_dropout == 0.0
    chosen = make(dataset, prompt={"template": "words", "hops": 3}, config={"rec_dropout": 0.1})
    assert (chosen.prompt.template, chosen.prompt.hops, chosen.model.config.rec_dropout) == ("words", 3, 0.1)


def test_item_vectors_are_of_texts_or_what_is_given(dataset):
    assert set(make(dataset).model.config.external_sizes) == {"text"}
    vectors = {"collaborative": np.random.default_rng(0).standard_normal((dataset.num_items, 6)).astype(np.float32)}
    assert make(dataset, item_vectors=vectors).model.config.external_sizes == {"collaborative": 6}
    with pytest.raises(ValueError, match="3 collaborative embeddings for 24 items"):
        make(dataset, item_vectors={"collaborative": np.zeros((3, 6), dtype=np.float32)})
    with pytest.raises(ValueError, match=r"GALRecPrompt has no \['hop'\]"):
        make(dataset, prompt={"hop": 2})


@pytest.mark.parametrize("include_graph", [True, False])
def test_training_leaves_a_trained_recommender(dataset, tmp_path, include_graph):
    made, split = make(dataset, include_graph=include_graph), dataset.split()
    trainer = GALRecTrainer(made, config(tmp_path, learning_rate=1e-2), split=split)
    assert not trainer.args.pretrained and trainer.args.max_length == made.prompt.max_length
    trainer.train()
    assert made.graph is trainer.train_dataset.graph and made.user_rows["u0"] == dataset.user_row["u0"]
    cases = split.validation.sample(20, seed=0)
    assert trainer.rank() == made.evaluate(cases).metrics
    made.save_pretrained(tmp_path / "saved")
    trainer.save_recommender(tmp_path / "by the trainer")
    loaded = [AutoRecommender.from_pretrained(tmp_path / folder) for folder in ("saved", "by the trainer")]
    assert [each.graph is not None for each in loaded] == [include_graph] * 2
    assert all(each.training_data["protocol"] == "leave_one_out" for each in loaded)
    made.user_rows = {}  # ids of users are not saved
    if not include_graph:
        made.detach_graph()
    expected = made.rank([np.array([1, 2, 3])], 10)
    for each in loaded:
        np.testing.assert_array_equal(each.rank([np.array([1, 2, 3])], 10)[0], expected[0])


def test_going_on_with_a_saved_one(dataset, tmp_path):
    made = make(dataset)
    made.save_pretrained(tmp_path / "saved")
    with pytest.raises(ValueError, match="is a GAL-Rec, not a backbone"):
        make(dataset, made.model, tokenizer=made.tokenizer)
    loaded = GALRecRecommender.from_pretrained(tmp_path / "saved")
    trainer = GALRecTrainer(loaded, config(tmp_path), split=dataset.split())
    trainer.train()
    assert loaded.prompt.template == "bare" and trainer.args.pretrained


def test_a_saved_one_is_opened_for_training(dataset, tmp_path):
    """Weights, vectors and prompt stay; dropout may change; what contradicts them is refused by name."""
    rng = np.random.default_rng(0)
    vectors = {"text": rng.standard_normal((24, 5), dtype=np.float32)}
    made = make(dataset, item_vectors=vectors, config={"projection_size": 12}, prompt={"hops": 3})
    made.save_pretrained(tmp_path / "saved")

    def again(**options):
        return GALRecRecommender.from_backbone(tmp_path / "saved", dataset=dataset, **options)

    for options in ({}, {"item_vectors": vectors, "prompt": made.prompt, "config": {"rec_dropout": 0.3}}):
        opened = again(**options)
        assert opened.prompt == made.prompt and opened.is_pretrained
        expected = made.model.state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in opened.model.state_dict().items())
    assert opened.model.config.rec_dropout == 0.3
    for options, words in (
        ({"prompt": {"hops": 2}}, "hops was 3, is 2"),
        ({"config": {"projection_size": 9}}, "projection_size was 12, is 9"),
        ({"prompt": {"hop": 2}}, r"GALRecPrompt has no \['hop'\]"),
        ({"config": {"projection": 9}}, r"GALRecConfig has no \['projection'\]"),
        ({"item_vectors": {"text": vectors["text"][::-1]}}, "item_vectors: not the text embeddings that .*saved"),
        ({"item_vectors": {"collaborative": vectors["text"]}}, "item_vectors: not the collaborative embeddings"),
    ):
        with pytest.raises(ValueError, match=words):
            again(**options)
    trainer = GALRecTrainer(opened, config(tmp_path), split=dataset.split())
    trainer.train()


def test_adapters_are_merged_when_it_is_saved(dataset, tmp_path):
    made = make(dataset)
    lora = with_own_layers(LoraConfig(r=4), made.model)
    trainer = GALRecTrainer(made, config(tmp_path, learning_rate=1e-2), split=dataset.split(), peft_config=lora)
    trainer.train()
    made.save_pretrained(tmp_path / "saved")
    loaded = AutoRecommender.from_pretrained(tmp_path / "saved")
    assert not any("lora" in name or "modules_to_save" in name for name, _ in loaded.model.named_parameters())
    made.detach_graph()
    histories = [np.array([1, 2, 3]), np.array([7])]
    mine, theirs = (each.score(histories, [np.arange(24)] * 2) for each in (made, loaded))
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
