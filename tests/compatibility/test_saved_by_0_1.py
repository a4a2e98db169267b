"""What 0.1.0 saved goes on loading, and answers as it did. See the README beside the files."""

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModel, AutoTokenizer, pipeline

import hf_llmrec
from hf_llmrec import AutoRecommender, ItemIndex, make_demo_shop
from hf_llmrec.data.embedding_files import load_item_embeddings

SAVED = Path(__file__).parents[1] / "fixtures" / "saved_by_0.1"
METHODS = ("lcrec", "galrec", "sasrec")
EXPECTED = json.loads((SAVED / "expected.json").read_text())


@pytest.fixture(scope="module")
def shop():
    return make_demo_shop().dataset


@pytest.mark.parametrize("method", METHODS)
def test_recommendations_are_those_of_0_1(method):
    expected = EXPECTED[method]
    recommend = pipeline("recommendation", model=str(SAVED / method))
    answers = [recommend({"history": history}, top_k=10) for history in expected["histories"]]
    assert [[item["item_id"] for item in answer] for answer in answers] == expected["item_ids"]
    scores = [[item["score"] for item in answer] for answer in answers]
    np.testing.assert_allclose(scores, expected["scores"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_metrics_are_those_of_0_1(method, shop):
    found = AutoRecommender.from_pretrained(SAVED / method).evaluate(shop.split().test)
    assert dict(found) == pytest.approx(EXPECTED[method]["metrics"], abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_models_load_as_models(method):
    assert AutoModel.from_pretrained(SAVED / method).num_parameters() > 0


def test_tokenizer(shop):
    tokenizer = AutoTokenizer.from_pretrained(SAVED / "lcrec")
    assert isinstance(tokenizer, hf_llmrec.LCRecTokenizer)
    assert list(tokenizer.item_index.item_ids) == list(shop.item_ids)


def test_index(shop):
    index = ItemIndex.from_pretrained(SAVED / "index")
    assert list(index.item_ids) == list(shop.item_ids)
    trained = AutoTokenizer.from_pretrained(SAVED / "lcrec").item_index
    assert [index.item_tokens(row) for row in range(600)] == [trained.item_tokens(row) for row in range(600)]


def test_embedding_file(shop):
    assert load_item_embeddings(SAVED / "embeddings.safetensors", shop).shape == (600, 32)
