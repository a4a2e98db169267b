"""The number that is added to the history's items: fitted by maximum likelihood, stored, and used everywhere."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from transformers import pipeline

from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.indexing.build import build_index
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.lcrec.prompt import LCRecPrompt
from hf_llmrec.methods.lcrec.recommender import LCRecRecommender
from hf_llmrec.methods.lcrec.repeat_bias import fit_bias, fit_repeat_bias, repeat_probabilities
from hf_llmrec.methods.lcrec.trainer import LCRecTrainer
from hf_llmrec.methods.lcrec.trainer_config import LCRecTrainingConfig


@given(st.lists(st.tuples(st.floats(0.001, 0.999), st.booleans()), min_size=1, max_size=40))
def test_it_is_the_most_likely_bias(cases):
    shares, repeats = np.array([share for share, _ in cases]), np.array([repeat for _, repeat in cases])

    def surprise(bias):
        chance = expit(logit(np.append(shares, shares.mean())) + bias)
        outcome = np.append(repeats, 0.5)
        return -(outcome * np.log(chance) + (1 - outcome) * np.log1p(-chance)).sum()

    best = minimize_scalar(surprise, bounds=(-15, 15), method="bounded", options={"xatol": 1e-8})
    assert fit_bias(shares, repeats) == pytest.approx(best.x, abs=1e-3)


def test_it_makes_the_models_share_right_and_stays_finite():
    shares = np.random.default_rng(0).uniform(0.05, 0.6, 4000)
    truth = np.random.default_rng(1).uniform(size=4000) < expit(logit(shares) - 1.3)
    assert fit_bias(shares, truth) == pytest.approx(-1.3, abs=0.15)
    never, always = fit_bias(shares, np.zeros(4000, bool)), fit_bias(shares, np.ones(4000, bool))
    assert -12 < never < -6 and 6 < always < 12
    assert fit_bias(np.zeros(0), np.zeros(0, bool)) == 0.0
    assert fit_bias(np.zeros(5), np.zeros(5, bool)) == pytest.approx(fit_bias(np.full(5, 1e-9), np.zeros(5, bool)))


@pytest.fixture
def recommender(model, tokenizer):
    return LCRecRecommender(model.eval(), tokenizer, LCRecPrompt(max_history=4))


def test_the_share_is_what_the_prompts_items_have(recommender, dataset):
    cases = dataset.split().validation.sample(12)
    recommender.repeat_bias = -2.0
    shares, repeats = repeat_probabilities(recommender, cases)
    assert recommender.repeat_bias == -2.0
    recommender.repeat_bias = 0.0
    for number, (share, repeat) in enumerate(zip(shares, repeats, strict=True)):
        items = np.unique(cases.histories[number][-4:])
        scores = recommender.score([cases.histories[number]], [items])[0]
        assert share == pytest.approx(np.exp(scores).sum(), rel=1e-4)
        assert repeat == (cases.targets[number] in items)


def test_items_that_the_prompt_has_no_room_for_are_not_read(recommender, tokenizer):
    levels = tokenizer.item_index.levels
    recommender.set_max_length(1 + 3 * levels)  # the first token, two items and the answer
    read = recommender.items_read([np.array([5, 1, 0, 3]), np.array([], dtype=int)])
    assert [sorted(items.tolist()) for items in read] == [[0, 3], []]
    assert recommender.items_read([]) == []


def test_it_is_added_where_items_are_ranked_and_scored(recommender, dataset, tmp_path):
    history, every = np.array([2, 7, 9]), np.arange(dataset.num_items)
    plain = recommender.score([history], [every])[0]
    recommender.repeat_bias = -3.0
    biased = recommender.score([history], [every])[0]
    expected = plain.copy()
    expected[history] -= 3.0
    np.testing.assert_allclose(biased, expected, atol=1e-5)
    rows, scores = recommender.rank([history], dataset.num_items)
    np.testing.assert_allclose(scores[0], expected[rows[0]], atol=1e-4)
    assert set(rows[0].tolist()) == set(every.tolist())

    recommender.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "recommender.json").read_text())["repeat_bias"] == -3.0
    loaded = AutoRecommender.from_pretrained(tmp_path)
    assert loaded.repeat_bias == -3.0
    ids = [dataset.item_ids[row] for row in history]
    asked = pipeline("recommendation", model=str(tmp_path))({"history": ids}, top_k=5)
    assert asked == loaded.recommend([{"history": ids}], top_k=5)[0]
    assert [each["item_id"] for each in asked] == [dataset.item_ids[row] for row in rows[0, :5]]
    without = AutoRecommender.from_pretrained(tmp_path, repeat_bias=0.0)
    np.testing.assert_allclose(without.score([history], [every])[0], plain, atol=1e-5)


def people_who(come_back: bool, num_items: int) -> RecDataset:
    """Users who alternate between two items, or never choose one again."""
    generator = np.random.default_rng(0)
    interactions = {"user_id": [], "item_id": [], "position": []}
    for user in range(200):
        chosen = generator.permutation(num_items)[:6]
        for place, item in enumerate(chosen[[0, 1, 0, 1, 0, 1]] if come_back else chosen):
            interactions["user_id"].append(f"u{user}")
            interactions["item_id"].append(f"i{item}")
            interactions["position"].append(place)
    items = {"item_id": [f"i{row}" for row in range(num_items)], "title": [f"thing {row}" for row in range(num_items)]}
    return RecDataset.from_datasets(interactions, items)


@pytest.mark.parametrize("come_back", [True, False])
def test_training_learns_whether_people_come_back(come_back, tmp_path):
    data = people_who(come_back, 40)
    vectors = np.random.default_rng(1).normal(size=(40, 8))
    index = build_index(vectors, data.item_ids, levels=3, codebook_size=8)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    made = LCRecRecommender.from_backbone("tiny", index=index, dataset=data, overrides=sizes)
    options = {"use_cpu": True, "report_to": "none", "save_strategy": "no", "max_steps": 3, "disable_tqdm": True}
    options["memory"] = False
    trainer = LCRecTrainer(made, LCRecTrainingConfig(str(tmp_path), **options), split=data.split())
    trainer.train()
    assert made.repeat_bias > 1 if come_back else made.repeat_bias < -1
    with_bias, bias = made.evaluate(data.split().test), made.repeat_bias
    made.repeat_bias = 0.0
    assert with_bias["ndcg@10"] >= made.evaluate(data.split().test)["ndcg@10"]
    assert fit_repeat_bias(made, trainer.eval_cases) == pytest.approx(bias, abs=1e-3)

    quiet = LCRecTrainingConfig(str(tmp_path), learn_repeat_bias=False, **options)
    made.repeat_bias = 0.5
    LCRecTrainer(made, quiet, split=data.split()).train()
    assert made.repeat_bias == 0.5
