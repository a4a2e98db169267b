"""What lies in a repository after a push, of every kind, from folders that hold much else."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hf_llmrec.hub.package_wheel import make_wheel
from hf_llmrec.hub.publish import Publication, prepare
from hf_llmrec.hub.published_files import checkpoint_files, dataset_files, index_files, recommender_files

from .server import TOKEN, run

PRIVATE = b"nobody's business"
# What runs, tools and people leave in a folder.
OTHERS = (
    *("teacher/embeddings.safetensors", "teacher/model.safetensors", "embeddings.safetensors"),
    *("checkpoint-1/optimizer.pt", "checkpoint-1/model.safetensors", "global_step1/zero.pt"),
    *(".staging-recommender/model-00001-of-00002.safetensors", ".staging-push-1/repo/notes.md", ".env"),
    *("optimizer.pt", "training_args.bin", "pytorch_model.bin", "model-00001-of-00002.safetensors"),
    *("train.log", "runs/Jan01_machine/events.out", "notes.md", "users.csv", "analysis.py", "picture.png"),
    *("item_index.safetensors.old", "interactions.csv", "interactions/notes.txt"),
)
WHEEL = make_wheel()[0]
RUN = {"README.md", "requirements.txt", "handler.py", "training_config.yaml", "training_report.json", WHEEL}
MODEL = {"config.json", "model.safetensors", "item_catalog.json", "recommender.json"}
WORDS = {"generation_config.json", "tokenizer.json", "tokenizer_config.json"}
CODE = {
    **{name: {f"configuration_{name}.py", f"modeling_{name}.py"} for name in ("sasrec", "lightgcn", "popularity")},
    "text_encoder": {"configuration_text_encoder.py", "modeling_text_encoder.py", "history_layers.py"},
    "knn": {"configuration_item_knn.py", "modeling_item_knn.py"},
    "galrec": {
        *("configuration_galrec.py", "entity_embeddings.py", "entity_layers.py"),
        *("galrec_base.py", "modeling_galrec.py", "next_item_loss.py"),
    },
}
EXPECTED = {
    **{name: RUN | MODEL | CODE[name] for name in ("sasrec", "lightgcn", "knn", "popularity", "text_encoder")},
    "lcrec": RUN | MODEL | WORDS | {"item_index.json", "custom_generate/generate.py", "co_occurrence.safetensors"},
    "fusion": RUN
    | MODEL
    | {"configuration_fusion.py", "modeling_fusion.py"}
    | {f"parts/{name}/{file}" for name in ("sasrec", "knn") for file in MODEL | CODE[name]},
    "galrec": RUN | MODEL | WORDS | CODE["galrec"] | {"interaction_graph.safetensors"},
}
STATE = {"trainer_state.json", "training_run.json", "optimizer.pt", "scheduler.pt", "rng_state.pth"}

PUSH = """
import json, sys
from hf_llmrec.cli import build_index, convert, push, train_baseline, train_fusion, train_galrec, train_lcrec
from hf_llmrec.cli import train_text_encoder
mains = {"lcrec": train_lcrec, "galrec": train_galrec, "fusion": train_fusion, "text_encoder": train_text_encoder}
mains |= {"index": build_index, "dataset": convert, "space": push}
for name, words in json.loads(sys.argv[1]).items():
    mains.get(name.split("-")[0], train_baseline).main(words)
print("pushed")
"""


def scatter(folder: Path) -> Path:
    """Fill a folder with files that must not leave the machine."""
    for name in OTHERS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PRIVATE)
    return folder


@pytest.fixture(scope="module")
def pushed(hub, home, dataset, tmp_path_factory):
    """(files of the newest commit, contents of all commits) by name, and the folders that were pushed from."""
    root = tmp_path_factory.mktemp("published")
    dataset.save(root / "ring")
    raw = root / "x.inter"
    raw.write_text("user_id:token\titem_id:token\ttimestamp:float\nu\tb\t7\nu\ta\t8\nu\tc\t3\n")
    data = ["--dataset", str(root / "ring")]
    short = ["--max_steps", "2", "--save_steps", "2", "--eval_steps", "2", "--logging_steps", "1"]
    short += ["--use_cpu", "True", "--eval_users", "10", "--report_to", "none", "--disable_tqdm", "True"]
    tiny = ["--backbone_overrides", '{"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}']
    lora = ["--use_peft", "True", "--lora_r", "4"]
    often = ["--hub_strategy", "checkpoint", "--hub_always_push", "True", "--hub_token", TOKEN]
    index, batch = ["--index", str(root / "index"), *tiny], ["--external", "text", *tiny, "--queue_length", "16"]
    batch += ["--per_device_train_batch_size", "8"]
    own = {
        "index": ["--levels", "3", "--codebook_size", "8", "--indexer", "rqvae", "--indexer_options", '{"steps": 2}'],
        "sasrec": ["--model", "sasrec", *short],
        "sasrec-often": ["--model", "sasrec", *short, *often],
        "lightgcn": ["--model", "lightgcn", *short],
        "knn": ["--model", "knn", "--use_cpu", "True"],
        "popularity": ["--model", "popularity", "--use_cpu", "True"],
        "text_encoder": ["--model_options", '{"hidden_size": 16}', *short],
        "fusion": ["--parts", str(root / "sasrec"), str(root / "knn"), "--use_cpu", "True"],
        "lcrec": [*index, *short],
        "lcrec-often": [*index, *short, *lora, *often],
        "galrec": [*batch, *short, "--include_graph", "True"],
        "galrec-often": [*batch, *short, *often],
    }
    commands = {}
    for name, words in own.items():
        places = ["--output_dir", str(scatter(root / name)), "--push_to_hub", "True", "--hub_model_id", f"me/{name}"]
        commands[name] = [*data, *words, *places]
    places = ["--input", str(raw), "--output_dir", str(scatter(root / "dataset")), "--push_to_hub", "me/dataset"]
    commands["dataset"] = ["recbole", *places]
    commands["space"] = ["--space", "me/lcrec", "--repo_id", "space"]
    assert run(hub, home, PUSH, json.dumps(commands)) == "pushed"

    kinds = {"dataset": "datasets", "space": "spaces"}
    found = {}
    for name in commands:
        repo = hub.repos[kinds.get(name, "models"), f"me/{name}"]
        newest = repo.commits[repo.branches["main"]]
        found[name] = newest, [(path, content) for files in repo.commits.values() for path, content in files.items()]
    return found, root


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_recommender_of_every_method(pushed, name):
    files, contents = pushed[0][name]
    assert set(files) - {".gitattributes"} == EXPECTED[name]
    assert [path for path, content in contents if PRIVATE in content] == []


@pytest.mark.parametrize(
    "name, expected",
    [
        (
            "index",
            {
                *("README.md", "item_index.json", "item_index.safetensors", "item_index.png"),
                *("config.json", "model.safetensors", "configuration_rqvae.py", "modeling_rqvae.py", "sinkhorn.py"),
            },
        ),
        ("dataset", {"README.md", "interactions.parquet", "items.parquet"}),
        ("space", {"README.md", "app.py", "requirements.txt", WHEEL}),
    ],
)
def test_an_index_a_dataset_and_a_space(pushed, name, expected):
    files, contents = pushed[0][name]
    assert set(files) - {".gitattributes"} == expected
    assert [path for path, content in contents if PRIVATE in content] == []


@pytest.mark.parametrize(
    "name, state",
    [
        ("sasrec-often", MODEL & {"config.json", "model.safetensors"} | CODE["sasrec"]),
        ("lcrec-often", {"adapter_config.json", "adapter_model.safetensors", "item_index.json", "tokenizer.json"}),
        ("galrec-often", {"galrec_queue.safetensors", "galrec_momentum_0.safetensors", "model.safetensors"}),
    ],
)
def test_pushes_of_a_training_with_its_checkpoints(pushed, hub, name, state):
    """What a run goes on from, without Trainer's pickled options: the access token is in them."""
    found, root = pushed
    files, contents = found[name]
    method = name.split("-")[0]
    beside = {path for path in files if not path.startswith("last-checkpoint/")} - {".gitattributes"}
    assert beside == EXPECTED[method] - {"interaction_graph.safetensors"}
    inside = {path.removeprefix("last-checkpoint/") for path in files if path.startswith("last-checkpoint/")}
    assert STATE | state <= inside
    here = root / name / "checkpoint-2"
    left_out = {path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()} - inside
    assert left_out - {"README.md"} == {"training_args.bin"}, "what is saved now must be published, or be named here"
    assert TOKEN.encode() in (here / "training_args.bin").read_bytes()
    assert not [path for path, content in contents if PRIVATE in content or TOKEN.encode() in content]
    for part in (str(root).encode(), b"checkpoint-2/"):
        state_file = files["last-checkpoint/trainer_state.json"]
        assert part not in state_file, "where the best checkpoint lies on this machine"
    own = {name for name in OTHERS if (here / name).exists() or name.startswith("global_step")}
    scatter(here)
    assert set(checkpoint_files(here)) == inside | own - {"training_args.bin"}


def test_the_weights_are_those_that_would_be_loaded(tmp_path):
    tensors = {"x": np.zeros(2, np.float32)}
    (tmp_path / "config.json").write_text("{}")
    for number in (1, 2, 3):
        save_file(tensors, tmp_path / f"model-0000{number}-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors", "c": "../private.json"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    expected = ["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert recommender_files(tmp_path) == [*expected, "model.safetensors.index.json"]
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="has no model-00002-of-00002.safetensors"):
        recommender_files(tmp_path)
    save_file(tensors, tmp_path / "model.safetensors")
    assert recommender_files(tmp_path) == ["config.json", "model.safetensors"]


def test_the_code_is_what_the_configuration_names(tmp_path):
    save_file({"x": np.zeros(2, np.float32)}, tmp_path / "model.safetensors")
    auto_map = {"AutoConfig": "one.Config", "AutoModel": "me/elsewhere--two.Model", "AutoTokenizer": ["four.T", None]}
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": auto_map}))
    (tmp_path / "one.py").write_text("from .three import x\n")
    for name in ("two", "three", "four", "five"):
        (tmp_path / f"{name}.py").write_text("")
    assert recommender_files(tmp_path) == ["config.json", "four.py", "model.safetensors", "one.py", "three.py"]


def test_tables_in_several_files(tmp_path):
    for name in ("interactions/0.parquet", "interactions/1.parquet", "items.parquet", "other.parquet", "reviews/x.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert dataset_files(tmp_path) == ["interactions/0.parquet", "interactions/1.parquet", "items.parquet"]
    assert index_files(tmp_path) == []


def test_a_folder_that_is_not_there_is_not_looked_up_on_the_hub(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        prepare("me/knn-ring", "me/copy", Publication(), tmp_path / "repo")


def test_what_stays_is_logged(pushed, tmp_path, caplog):
    with caplog.at_level("INFO", "hf_llmrec"):
        prepare(pushed[1] / "knn", "me/knn", Publication(), tmp_path)
    (line,) = (record.getMessage() for record in caplog.records if "not published" in record.getMessage())
    assert "analysis.py, checkpoint-1, embeddings.safetensors" in line and "more" in line
