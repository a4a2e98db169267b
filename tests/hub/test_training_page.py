"""The examples of docs/training.md, as they stand, in a fresh process with a local Hub that has what they name."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.training.backbones import build_backbone
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer

from .server import run

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
BLOCKS = re.findall(r"^```python hub\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
# What was trained is what was saved. GAL-Rec is saved without its graph here.
CHECK = """
galrec.detach_graph()
for trained, folder in ((recommender, "out-lora/lcrec"), (sasrec, "out-sasrec/sasrec"), (galrec, "out-galrec/galrec")):
    loaded = AutoRecommender.from_pretrained(folder)
    mine, theirs = trained.evaluate(split.test), loaded.evaluate(split.test)
    assert abs(mine["ndcg@10"] - theirs["ndcg@10"]) < 1e-6, (folder, mine, theirs)
    assert loaded.training_data["fingerprint"] == dataset.data_fingerprint(split).to_dict(), folder
    assert (mine.ranks == theirs.ranks).mean() > 0.99, folder
found = AutoRecommender.from_pretrained("me/lcrec-shop").recommend([{"history": ["B004756YJA"]}], top_k=10)
assert len(found[0]) == 10 and all(set(answer) == {"item_id", "title", "score"} for answer in found[0])
print("done", sasrec.evaluate(split.test)["ndcg@10"])
"""


@pytest.fixture
def shop(hub, tmp_path):
    """A Hub with the dataset and the base model that the page names: users walk along a ring of 24 items."""
    ids = ["B004756YJA", *(f"B{item:09d}" for item in range(23))]
    starts = np.random.default_rng(0).integers(24, size=60)
    rows = [(f"u{user}", ids[(start + place) % 24], place) for user, start in enumerate(starts) for place in range(8)]
    log = pd.DataFrame(rows, columns=["user_id", "item_id", "position"])
    items = {"item_id": ids, "title": [f"Ring piece {item} {'red' if item % 2 else 'blue'}" for item in range(24)]}
    dataset = RecDataset.from_pandas(log, pd.DataFrame(items))
    dataset.save(tmp_path / "shop")
    tokenizer = train_corpus_tokenizer(dataset.titles, vocab_size=400)
    build_backbone("tiny", tokenizer, overrides=SIZES).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    hub.add_folder("datasets", "me/shop", tmp_path / "shop")
    hub.add_folder("models", "HuggingFaceTB/SmolLM2-135M", tmp_path / "model")
    return hub


@pytest.mark.slow
@pytest.mark.ci
def test_the_page_runs_as_it_stands(shop, home, tmp_path):
    assert len(BLOCKS) == 6
    code = f"import os\nos.chdir({str(tmp_path)!r})\n" + "\n".join(BLOCKS) + CHECK
    word, score = run(shop, home, code).split()
    assert word == "done" and float(score) > 0.8, "SASRec knows the ring"
