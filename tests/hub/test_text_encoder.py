"""A text encoder of the Hub is a sentence-transformers model or it is not; a failure to look is neither."""

import json
from pathlib import Path

import pytest

from .server import Repo, run

# What is found of each name, or the error: with the Hub, and then offline.
CODE = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parents[2])]!r}
import json
from huggingface_hub import constants, snapshot_download
from hf_llmrec.indexing.sentence_encoder import is_sentence_model

def look(name):
    try:
        return is_sentence_model(name)
    except OSError as error:
        return str(error)

snapshot_download("me/listed")
online = {{name: look(name) for name in ("me/sentence", "me/causal", "me/gated", "me/nothing")}}
constants.HF_HUB_OFFLINE = True
offline = {{name: look(name) for name in ("me/sentence", "me/causal", "me/listed", "me/new")}}
print(json.dumps([online, offline]))
"""


@pytest.fixture
def hub(hub):
    files = {"me/sentence": {"modules.json": b"[]"}, "me/causal": {}, "me/listed": {}, "me/new": {}}
    for name, more in files.items():
        hub.repos["models", name] = Repo()
        hub.repos["models", name].commit({"config.json": b"{}", **more}, "main")
    hub.repos["models", "me/gated"] = Repo(gated=True)
    return hub


def test_only_a_file_that_is_not_there_makes_a_model_none_of_sentence_transformers(hub, home):
    online, offline = json.loads(run(hub, home, CODE))
    unknown = "cannot find out whether it is a sentence-transformers model"
    assert (online["me/sentence"], online["me/causal"]) == (True, False)
    for name in ("me/gated", "me/nothing"):
        assert str(online[name]).startswith(f"{name}: {unknown}"), name
    # Offline: what was looked up, and what `hf download` has listed, is known; of another nothing is.
    assert (offline["me/sentence"], offline["me/causal"], offline["me/listed"]) == (True, False, False)
    assert str(offline["me/new"]).startswith(f"me/new: {unknown}")
