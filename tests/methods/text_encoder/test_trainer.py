"""Training with frozen text vectors: it learns, items without interactions are recommended, and folders hold all."""

import numpy as np
import pytest
import torch
from transformers import AutoModel

from hf_llmrec.data.demo import make_demo_shop
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.text_encoder.recommender import TextEncoderRecommender
from hf_llmrec.methods.text_encoder.trainer import TextEncoderTrainer
from hf_llmrec.methods.text_encoder.trainer_config import TextEncoderTrainingConfig

SHORT = {"max_steps": 150, "tokens_per_batch": 100, "learning_rate": 1e-2, "warmup_steps": 5, "eval_strategy": "no"}
SHORT |= {
    "save_strategy": "no",
    "load_best_model_at_end": False,
    "use_cpu": True,
    "disable_tqdm": True,
    "item_dropout": 0.0,
}


def trainer_for(dataset, vectors, split, folder, fields=None, **options):
    torch.manual_seed(0)
    args = TextEncoderTrainingConfig(output_dir=str(folder), **{**SHORT, **options})
    sizes = {"hidden_size": 16, "num_negatives": 32, **(fields or {})}
    recommender = TextEncoderRecommender.from_dataset(dataset, vectors, **sizes)
    return TextEncoderTrainer(recommender, args, split=split)


@pytest.mark.parametrize("negatives", [32, 0])
def test_it_learns_and_every_parameter_changes(kinds, kind_vectors, tmp_path, negatives):
    split = kinds.split()
    trainer = trainer_for(kinds, kind_vectors, split, tmp_path, {"num_negatives": negatives})
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    untrained = trainer.recommender.evaluate(split.test)["ndcg@10"]
    trainer.train()
    assert not [name for name, value in trainer.model.named_parameters() if torch.equal(value, before[name])]
    learned = trainer.recommender.evaluate(split.test)
    # Which of the 8 items of the next kind it is cannot be known: at best they are the first 8 in any order.
    assert learned["hit_rate@10"] > 0.75 and learned["ndcg@10"] > 2 * untrained
    assert trainer.recommender.training_data["fingerprint"] == kinds.data_fingerprint(split).to_dict()


def test_items_without_interactions_are_recommended(kinds, kind_vectors, tmp_path):
    split = kinds.split(cold_items=0.2, cold_seed=1)
    trainer = trainer_for(kinds, kind_vectors, split, tmp_path)
    assert (trainer.model.candidates.numpy() == ~split.is_cold).all(), "all others have interactions here"
    trainer.train()
    cold = split.is_cold[split.test.targets]
    ranks = trainer.recommender.evaluate(split.test).ranks
    hits = (ranks >= 0) & (ranks < 10)
    by_chance = 10 / kinds.num_items
    assert cold.sum() > 30 and hits[cold].mean() > 2 * by_chance and hits[~cold].mean() > 3 * by_chance
    recommended = set(trainer.recommender.rank(split.test.histories, 10)[0].reshape(-1).tolist())
    assert len(recommended & set(np.flatnonzero(split.is_cold))) >= 0.8 * split.is_cold.sum()


def test_training_improves_on_the_demo(tmp_path):
    dataset = make_demo_shop().dataset
    split = dataset.split()
    cases = split.validation.sample(300, seed=0)
    options = {"max_steps": 120, "tokens_per_batch": 400, "learning_rate": 3e-3}
    trainer = trainer_for(dataset, None, split, tmp_path, {"hidden_size": 32, "num_negatives": 64}, **options)
    untrained = trainer.recommender.evaluate(cases)["ndcg@10"]
    trainer.train()
    assert trainer.recommender.evaluate(cases)["ndcg@10"] > max(3 * untrained, 0.05)


def test_saved_and_loaded(kinds, kind_vectors, tmp_path):
    split = kinds.split()
    trainer = trainer_for(kinds, kind_vectors, split, tmp_path, max_steps=10)
    trainer.train()
    trainer.save_recommender(tmp_path / "saved")
    loaded = AutoRecommender.from_pretrained(tmp_path / "saved")
    assert isinstance(loaded, TextEncoderRecommender) and loaded.max_history == 50
    for mine, theirs in zip(
        trainer.recommender.rank(split.test.histories, 5), loaded.rank(split.test.histories, 5), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(loaded.item_vectors(), trainer.recommender.item_vectors())
    assert not (tmp_path / "saved/text_encoder").exists()
    with pytest.raises(ValueError, match="text vectors that were made elsewhere"):
        _ = loaded.encoder
    remote = AutoModel.from_pretrained(tmp_path / "saved", trust_remote_code=True)
    assert remote.config.text_size == 12


def test_users_are_scored_by_their_vectors(kinds, kind_vectors, tmp_path):
    split = kinds.split()
    trainer = trainer_for(kinds, kind_vectors, split, tmp_path, max_steps=10)
    trainer.train()
    histories = [split.train_sequence(user) for user in range(kinds.num_users)]
    scores = trainer.user_vectors() @ trainer.recommender.item_vectors().T / trainer.model.config.score_temperature
    for user, found in enumerate(trainer.recommender.score(histories, [np.arange(kinds.num_items)] * len(histories))):
        new = np.setdiff1d(np.arange(kinds.num_items), histories[user])
        np.testing.assert_allclose(found[new], scores[user, new], atol=1e-4)


def test_the_repeat_bias_starts_where_training_data_put_it(kinds, kind_vectors, tmp_path):
    """An item is most like itself, and nobody chooses one again within so few steps."""
    trainer = trainer_for(kinds, kind_vectors, kinds.split(), tmp_path)
    assert trainer.model.repeat_bias < -0.1
    without = trainer_for(kinds, kind_vectors, kinds.split(), tmp_path, {"repeat_bias": False})
    assert without.model.repeat_bias is None and np.isfinite(without.rank()["ndcg@10"])


def test_items_are_added_without_training(kinds, kind_vectors, tmp_path):
    split = kinds.split()
    trainer = trainer_for(kinds, kind_vectors, split, tmp_path)
    trainer.train()
    ours = trainer.recommender
    twin = int(np.flatnonzero(np.array(kinds.titles) == "bread bread aa")[0])
    larger = ours.add_items({"new": "bread new"}, kind_vectors[[twin]])
    assert larger.item_ids == [*ours.item_ids, "new"] and larger.catalog.titles[-1] == "bread new"
    assert len(ours.item_ids) == kinds.num_items
    np.testing.assert_allclose(larger.item_vectors()[:-1], ours.item_vectors(), atol=1e-6)
    np.testing.assert_allclose(larger.item_vectors()[-1], ours.item_vectors()[twin], atol=1e-5)
    larger.save_pretrained(tmp_path / "larger")
    history = [kinds.item_ids[kinds.titles.index("apple apple aa")]]
    best = AutoRecommender.from_pretrained(tmp_path / "larger").recommend([{"history": history}], top_k=12)[0]
    assert "new" in {each["item_id"] for each in best}, "bread follows apples"
    with pytest.raises(ValueError, match="'i3' is in the catalogue already"):
        ours.add_items({"i3": "x"}, kind_vectors[:1])
    with pytest.raises(ValueError, match=r"text_vectors must be \(1, 12\)"):
        ours.add_items({"x": "x"}, kind_vectors[:1, :4])
    with pytest.raises(ValueError, match="made elsewhere"):
        ours.add_items({"x": "x"})


def test_bad_input(kinds, kind_vectors, dataset, tmp_path):
    make = TextEncoderRecommender.from_dataset
    with pytest.raises(ValueError, match=r"text_vectors must be \(48, d\), got \(3, 12\)"):
        make(kinds, kind_vectors[:3])
    with pytest.raises(ValueError, match="text_vectors has values that are not finite"):
        make(kinds, np.full_like(kind_vectors, np.nan))
    with pytest.raises(ValueError, match="text_vectors: a model that is fine-tuned computes its own"):
        make(kinds, kind_vectors, history_encoder="text")
    with pytest.raises(ValueError, match="tfidf is not a sentence-transformers model"):
        make(kinds, history_encoder="text")
    with pytest.raises(ValueError, match="finetune must be one of"):
        TextEncoderTrainingConfig(output_dir=str(tmp_path), finetune="adapter")
    args = TextEncoderTrainingConfig(output_dir=str(tmp_path), finetune="lora", use_cpu=True)
    with pytest.raises(ValueError, match="finetune is 'lora', but the recommender's history_encoder is 'transformer'"):
        TextEncoderTrainer(make(kinds, kind_vectors), args, split=kinds.split())
    args = TextEncoderTrainingConfig(output_dir=str(tmp_path), use_cpu=True)
    with pytest.raises(ValueError, match="has other items"):
        TextEncoderTrainer(make(kinds, kind_vectors), args, split=dataset.split())
