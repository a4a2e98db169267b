"""A text encoder with its sentence-transformers model: published, read by its id, and inside a fusion."""

import json

import numpy as np
import pytest
import torch

from hf_llmrec.hub.publish import Publication, prepare
from hf_llmrec.hub.published_files import recommender_files
from hf_llmrec.indexing.text_embeddings import item_texts
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.fusion.recommender import FusionRecommender
from hf_llmrec.methods.text_encoder.recommender import TextEncoderRecommender

from .server import run

pytestmark = pytest.mark.slow  # needs the extra `text`
STOCK = {
    *("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json", "config.json"),
    *("model.safetensors", "tokenizer.json", "tokenizer_config.json", "1_Pooling/config.json"),
}


@pytest.fixture(scope="module")
def folders(dataset, make_sentence_model, tmp_path_factory):
    """A saved recommender with frozen vectors, and one whose histories are texts."""
    root = tmp_path_factory.mktemp("text_encoders")
    source = make_sentence_model(root, item_texts(dataset))
    for name, fields in {"frozen": {"hidden_size": 16}, "tuned": {"history_encoder": "text"}}.items():
        torch.manual_seed(0)
        made = TextEncoderRecommender.from_dataset(dataset, text_encoder=source, **fields)
        made.save_pretrained(root / name)
        for file in ("notes.md", "text_encoder/notes.md", "text_encoder/1_Pooling/keys.txt"):
            (root / name / file).write_text("private")
    return root


def test_the_stock_model_is_published_and_nothing_else_of_its_folder(folders):
    dense = {"2_Normalize/config.json", "3_Dense/config.json", "3_Dense/model.safetensors", "4_Normalize/config.json"}
    for name, more in {"frozen": dense, "tuned": {"2_Normalize/config.json"}}.items():
        inside = {file.removeprefix("text_encoder/") for file in recommender_files(folders / name) if "/" in file}
        assert inside == STOCK | more


def test_it_is_read_from_the_hub(hub, home, folders, dataset, tmp_path):
    for name in ("frozen", "tuned"):
        prepare(folders / name, f"me/{name}", Publication(), tmp_path / name)
        hub.add_folder("models", f"me/{name}", tmp_path / name)
    code = """
import json
import hf_llmrec
from hf_llmrec import AutoRecommender
answers = {}
for name in ("frozen", "tuned"):
    recommender = AutoRecommender.from_pretrained(f"me/{name}")
    vector = recommender.add_items({"new": "Ring piece 50 red"}).item_vectors()[-1]
    answers[name] = recommender.recommend([{"history": ["i3", "i4"]}], top_k=4)[0], vector.tolist()
print(json.dumps(answers))
"""
    found = json.loads(run(hub, home, code))
    for name, (answer, vector) in found.items():
        here = AutoRecommender.from_pretrained(folders / name)
        expected = here.recommend([{"history": ["i3", "i4"]}], top_k=4)[0]
        assert [each["item_id"] for each in answer] == [each["item_id"] for each in expected]
        new = here.add_items({"new": "Ring piece 50 red"}).item_vectors()[-1]
        np.testing.assert_allclose(vector, new, atol=1e-5)


def test_it_is_a_part_of_a_fusion(folders, dataset, tmp_path):
    parts = {name: AutoRecommender.from_pretrained(folders / name) for name in ("frozen", "tuned")}
    FusionRecommender(parts).save_pretrained(tmp_path / "fusion")
    files = recommender_files(tmp_path / "fusion")
    assert {f"parts/{name}/text_encoder/modules.json" for name in parts} <= set(files)
    loaded = AutoRecommender.from_pretrained(tmp_path / "fusion")
    histories = dataset.split().test.histories.take(np.arange(5))
    np.testing.assert_array_equal(loaded.rank(histories, 4)[0], FusionRecommender(parts).rank(histories, 4)[0])
