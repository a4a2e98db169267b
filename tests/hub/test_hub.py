"""Real clients in fresh processes against a local Hub: data sets by id, a pushed recommender, revisions, tokens."""

import json

import pytest

from hf_llmrec.hub.publish_index import prepare_index
from hf_llmrec.methods.item_knn.recommender import ItemKNNRecommender

from .server import run


@pytest.fixture(scope="module")
def data(dataset, hub, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub_data")
    dataset.save(folder)
    hub.add_folder("datasets", "me/ring", folder)
    return folder


def test_a_dataset_by_its_hub_id(hub, home, data, dataset):
    code = "import sys; from hf_llmrec import RecDataset; print(RecDataset.load('me/ring').fingerprint)"
    assert run(hub, home, code) == dataset.fingerprint


PUSH = """
import sys
from hf_llmrec.cli import train_baseline
options = ["--model", "knn", "--dataset", sys.argv[1], "--output_dir", sys.argv[2], "--use_cpu", "True"]
train_baseline.main([*options, "--push_to_hub", "True", "--hub_model_id", "me/knn-ring", "--hub_private_repo", "True"])
print("pushed")
"""
ASK = """
import json, sys
import hf_llmrec
from transformers import pipeline
options = {"revision": sys.argv[1]} if sys.argv[1] else {}
rec = pipeline("recommendation", model="me/knn-ring", **options)
print(json.dumps(rec({"history": ["i3", "i4"]}, top_k=3)))
"""


PUSH_OBJECT = """
import json, sys
from hf_llmrec import AutoRecommender, ItemKNNRecommender, RecDataset
dataset = RecDataset.load(sys.argv[1])
ItemKNNRecommender.fit(dataset, dataset.split()).push_to_hub("me/knn-object")
print(json.dumps(AutoRecommender.from_pretrained("me/knn-object").recommend([{"history": ["i3", "i4"]}], top_k=3)))
"""


def test_a_recommender_object_is_pushed(hub, home, data, dataset):
    answers = json.loads(run(hub, home, PUSH_OBJECT, str(data)))
    assert answers == ItemKNNRecommender.fit(dataset, dataset.split()).recommend([{"history": ["i3", "i4"]}], 3)
    repo = hub.repos["models", "me/knn-object"]
    files = repo.commits[repo.branches["main"]]
    assert {"README.md", "handler.py", "requirements.txt", "recommender.json", "model.safetensors"} <= set(files)
    assert json.loads(files["recommender.json"])["dataset"] == data.name


def test_a_recommender_is_pushed_and_served_from_there(hub, home, data, tmp_path):
    output = tmp_path / "knn"
    (output / "checkpoint-3").mkdir(parents=True)
    (output / "checkpoint-3" / "optimizer.pt").write_bytes(b"a training state is nobody's business")
    assert run(hub, home, PUSH, str(data), str(output)) == "pushed"
    repo = hub.repos["models", "me/knn-ring"]
    files = repo.commits[repo.branches["main"]]
    assert {"config.json", "model.safetensors", "item_catalog.json", "recommender.json"} <= set(files)
    assert not any(name.startswith(("checkpoint", ".")) or name.endswith((".pt", ".bin")) for name in files)
    assert repo.private and len(repo.commits) == 3  # the empty one, the wheel's, and one for the whole folder

    here = run(hub, home, ASK.replace("me/knn-ring", str(output)), "")
    assert json.loads(run(hub, home, ASK, "")) == json.loads(here) and len(json.loads(here)) == 3

    # Everything of a request comes from the revision that was asked for.
    first = repo.branches["main"]
    catalog = json.loads(files["item_catalog.json"])
    for item in catalog["items"]:
        item["title"] = "renamed"
    repo.commit({"item_catalog.json": json.dumps(catalog).encode()}, "main")
    assert {each["title"] for each in json.loads(run(hub, home, ASK, ""))} == {"renamed"}
    assert json.loads(run(hub, home, ASK, first)) == json.loads(here)


def test_a_private_model_needs_the_token(hub, home, data, tmp_path):
    if ("models", "me/knn-ring") not in hub.repos:
        run(hub, home, PUSH, str(data), str(tmp_path / "knn"))
    denied = ASK.replace("rec = pipeline", "try:\n    rec = pipeline").replace(
        "print(json", "except OSError as error:\n    print('denied', type(error).__name__)\n    sys.exit()\nprint(json"
    )
    fresh = tmp_path / "home"
    assert run(hub, fresh, denied, "", token=None).startswith("denied")
    with_token = ASK.replace("**options", "token='hf_of_the_owner', **options")
    assert len(json.loads(run(hub, fresh, with_token, "", token=None))) == 3


def test_a_network_of_an_earlier_index_is_not_published(index, tmp_path):
    index.save_pretrained(tmp_path / "index")
    (tmp_path / "index" / "rqvae").mkdir()
    (tmp_path / "index" / "rqvae" / "config.json").write_text("{}")
    prepare_index(tmp_path / "index", "me/x", tmp_path / "repo")
    assert not (tmp_path / "repo" / "config.json").exists()
    assert "RQ-VAE" not in (tmp_path / "repo" / "README.md").read_text()


def test_an_index_is_pushed_with_its_rqvae(hub, home, data, tmp_path):
    code = """
import sys
from hf_llmrec.cli import build_index
options = ["--dataset", sys.argv[1], "--output_dir", sys.argv[2], "--levels", "3", "--codebook_size", "8"]
rqvae = ["--indexer", "rqvae", "--indexer_options", '{"steps": 3, "batch_size": 16}']
build_index.main([*options, *rqvae, "--push_to_hub", "True", "--hub_model_id", "me/ring-index"])
print("pushed")
"""
    assert run(hub, home, code, str(data), str(tmp_path / "index")) == "pushed"
    repo = hub.repos["models", "me/ring-index"]
    files = repo.commits[repo.branches["main"]]
    card = files["README.md"].decode()
    assert 'ItemIndex.from_pretrained("me/ring-index")' in card and "item index: 24 items, 3 levels" in card
    for plot in [name for name in files if name.endswith(".png")]:
        assert f"![{plot}]({plot})" in card
    load = """
import sys
if "--without" in sys.argv:
    sys.modules["hf_llmrec"] = None
else:
    from hf_llmrec import ItemIndex
    index = ItemIndex.from_pretrained("me/ring-index")
    assert index.is_unique and index.codebooks is not None and index.levels == 3
from transformers import AutoModel
model = AutoModel.from_pretrained("me/ring-index", trust_remote_code="--without" in sys.argv)
print(type(model).__name__, model.config.codebook_sizes)
"""
    assert run(hub, home, load) == run(hub, home, load, "--without") == "RQVAEModel [8, 8, 8]"


def test_a_converted_dataset_is_pushed_and_read_by_its_id(hub, home, tmp_path):
    raw = tmp_path / "x.inter"
    raw.write_text("user_id:token\titem_id:token\ttimestamp:float\nu\tb\t7\nu\ta\t7\nu\tc\t3\n")
    code = """
import sys
from hf_llmrec.cli import convert
places = ["--input", sys.argv[1], "--output_dir", sys.argv[2]]
convert.main(["recbole", *places, "--push_to_hub", "me/converted", "--private"])
"""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".answers.jsonl").write_text("what was paid for stays at home")
    assert "me/converted" in run(hub, home, code, str(raw), str(tmp_path / "data"))
    repo = hub.repos["datasets", "me/converted"]
    names = {name for name in repo.commits[repo.branches["main"]] if name != ".gitattributes"}
    assert repo.private and names == {"README.md", "interactions.parquet", "items.parquet"}
    load = """
from datasets import load_dataset
from hf_llmrec import RecDataset
dataset = RecDataset.load("me/converted")
rows = load_dataset("me/converted", "interactions")["train"].num_rows
print(rows, *(dataset.item_ids[row] for row in dataset.sequence(0)))
"""
    # The earliest comes first, and of those with one time the one that stands first in the file.
    assert run(hub, home, load) == "3 c b a"
