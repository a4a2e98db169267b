"""The method that docs/extending.md adds from outside: fitted, saved, loaded, evaluated, asked and published."""

import re
from pathlib import Path

import numpy as np

from .server import run

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
(CODE,) = re.findall(r"^```python hub\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
USE = """
import sys
sys.path.insert(0, {folder!r})
import numpy as np
import ease
from transformers import pipeline
from hf_llmrec import AutoRecommender, RecDataset
dataset = RecDataset.load({data!r})
split = dataset.split()
recommender = ease.EASERecommender.fit(dataset, split, regularization=1.0)
np.save({weights!r}, recommender.model.weights.numpy())
recommender.save_pretrained({saved!r})
recommender.push_to_hub("me/ease-ring")
request = {{"history": [dataset.item_ids[row] for row in split.test.histories[0]]}}
answers = []
for source in ({saved!r}, "me/ease-ring"):
    loaded = AutoRecommender.from_pretrained(source)
    assert type(loaded) is ease.EASERecommender and loaded.training_data["protocol"] == "leave_one_out"
    assert (loaded.evaluate(split.test).ranks == recommender.evaluate(split.test).ranks).all()
    answers.append(loaded.recommend([request], top_k=5)[0])
assert answers[0] == answers[1] == pipeline("recommendation", model={saved!r})(request, top_k=5)
assert len(loaded.similar_items(dataset.item_ids[:1], top_k=3)[0]) == 3
print("ndcg", recommender.evaluate(split.test)["ndcg@10"])
"""
# Who reads the repository without the file trusts the code in it.
ELSEWHERE = """
from transformers import AutoModel
model = AutoModel.from_pretrained("me/ease-ring", trust_remote_code=True)
print(type(model).__name__, tuple(model.weights.shape))
"""


def test_a_method_from_outside(hub, home, dataset, tmp_path):
    assert CODE.count("\n") < 80
    (tmp_path / "ease.py").write_text(CODE, encoding="utf-8")
    dataset.save(tmp_path / "data")
    places = {"folder": tmp_path, "data": tmp_path / "data", "saved": tmp_path / "saved", "weights": tmp_path / "w.npy"}
    word, score = run(hub, home, USE.format(**{name: str(path) for name, path in places.items()})).split()
    assert word == "ndcg" and float(score) > 0.3, "it knows the ring, and neither order nor what was seen"
    # The closed form, from its definition: the least squares problem of each item without itself.
    split, weights = dataset.split(), np.load(tmp_path / "w.npy")
    bought = np.zeros((dataset.num_users, dataset.num_items))
    for user in range(dataset.num_users):
        bought[user, split.train_sequence(user)] = 1
    for item in (0, 7):
        others = np.delete(bought, item, axis=1)
        expected = np.linalg.solve(others.T @ others + np.eye(others.shape[1]), others.T @ bought[:, item])
        np.testing.assert_allclose(np.delete(weights[:, item], item), expected, atol=1e-5)
        assert weights[item, item] == 0
    assert run(hub, home, ELSEWHERE) == f"EASEModel ({dataset.num_items}, {dataset.num_items})"
