"""What trackers have stored after a training, read back from their own files."""

import json
import os
import sqlite3
import struct
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

# One process for all: what trackers keep in a process is theirs, and none of the tests'.
PROGRAM = """
import json, sys
from hf_llmrec.cli import build_index, train_baseline, train_galrec, train_lcrec
data, root, trackers = sys.argv[1], sys.argv[2], sys.argv[3:]
short = ["--max_steps", "4", "--logging_steps", "2", "--eval_strategy", "steps", "--eval_steps", "2"]
short += ["--save_steps", "2", "--learning_rate", "0.01", "--eval_users", "10", "--use_cpu", "True"]
short += ["--disable_tqdm", "True", "--report_to", *trackers, "--project", "ring"]
tiny = ["--backbone_overrides", '{"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}']
build_index.main(["--dataset", data, "--output_dir", root + "/index"])
def names(method):
    if "wandb" in trackers:  # it has one run per process, unless told that the run is over
        import wandb
        wandb.finish()
    return ["--dataset", data, "--output_dir", f"{root}/{method}", "--run_name", method, *short]
train_lcrec.main([*names("lcrec"), "--index", root + "/index", "--max_length", "96", "--use_peft", "True", *tiny])
train_galrec.main([*names("galrec"), "--external", "text", "--queue_length", "16", *tiny])
train_baseline.main([*names("sasrec"), "--model", "sasrec", "--tokens_per_batch", "100"])
"""
STEPS = {"train/loss", "train/tokens_per_second", "train/learning_rate", "train/grad_norm"}
EVALUATIONS = {"eval/loss", "eval/ndcg@10", "eval/hit_rate@1", "eval/num_users"}
OWN = {
    "lcrec": {"train/index_loss", "train/text_loss", "train/code_accuracy", "train/num_tokens", "eval/index_loss"},
    "galrec": {"train/rec_loss", "train/history_loss", "train/history_to_item_loss", "train/num_tokens"},
    "sasrec": set(),
}


def train(dataset, root, *trackers):
    dataset.save(root / "ring")
    places = {"TRACKIO_DIR": str(root / "trackio"), "WANDB_DIR": str(root), "WANDB_MODE": "offline"}
    command = [sys.executable, "-c", PROGRAM, str(root / "ring"), str(root), *trackers]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, env={**os.environ, **places}, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return root


@pytest.fixture(scope="module")
def tracked(dataset, tmp_path_factory):
    return train(dataset, tmp_path_factory.mktemp("tracked"), "tensorboard", "trackio")


def check(method, found: dict[str, list[tuple[int, float]]], config: dict, root):
    """Figures by name and step are those of the training's report, and the configuration says what was trained."""
    assert STEPS | EVALUATIONS | OWN[method] <= set(found), sorted(found)
    if method == "galrec":  # one queue per kind of entity
        assert any("queue" in name and "fill" in name for name in found) and any("age" in name for name in found)
    report = json.loads((root / method / "training_report.json").read_text())
    for name, entry_name in (("train/loss", "loss"), ("eval/ndcg@10", "eval_ndcg@10")):
        logged = [(entry["step"], entry[entry_name]) for entry in report["log"] if entry_name in entry]
        assert [step for step, _ in found[name]] == [step for step, _ in logged] == [2, 4]
        assert [value for _, value in found[name]] == pytest.approx([value for _, value in logged], rel=1e-5)
    assert all(value > 0 for _, value in found["train/tokens_per_second"])
    assert config["method"] == method and config["learning_rate"] == 0.01
    data = {"name": "ring", "users": 60, "items": 24, "protocol": "leave_one_out", "k_core": 0}
    assert data.items() <= config["data"].items() and config["data"]["fingerprint"]["interactions"]
    sizes = config["model"]
    assert 0 < sizes["trained"] <= sizes["parameters"] and (sizes["trained"] < sizes["parameters"]) == (
        method == "lcrec"
    )
    assert config["options"].get("use_peft", False) == (method == "lcrec") and config["versions"]["torch"]


@pytest.mark.parametrize("method", OWN)
def test_tensorboard(tracked, method):
    (folder,) = (tracked / method / "runs").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    found = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}
    text = events.Tensors("args/text_summary")[0].tensor_proto.string_val[0].decode()
    check(method, found, json.loads(text), tracked)


@pytest.mark.parametrize("method", OWN)
def test_trackio(tracked, method):
    found: dict[str, list] = {}
    with sqlite3.connect(tracked / "trackio" / "ring.db") as database:
        for (stored,) in database.execute("select metrics from metrics where run_name = ? order by step", [method]):
            row = json.loads(stored)
            for name, value in row.items():
                found.setdefault(name, []).append((row["train/global_step"], value))
        ((config,),) = database.execute("select config from configs where run_name = ?", [method]).fetchall()
    check(method, found, json.loads(config), tracked)


@pytest.mark.slow
def test_wandb(dataset, tmp_path):
    train(dataset, tmp_path, "wandb")
    runs = {}
    for file in (tmp_path / "wandb").glob("offline-run-*/*.wandb"):
        name, found, config = wandb_records(file.read_bytes())
        runs[name] = found, config
    assert set(runs) == set(OWN)
    for method, (found, config) in runs.items():
        check(method, found, config, tmp_path)


def wandb_records(content: bytes) -> tuple[str, dict[str, list], dict]:
    """(name, figures, configuration) of an offline run: a log in blocks of 32 KiB, as in LevelDB."""
    from wandb.proto.wandb_internal_pb2 import Record

    name, found, config, whole, place = "", {}, {}, b"", 7
    while place < len(content):
        if 32768 - place % 32768 < 7:  # no room for a header: the block's rest is empty
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind not in (1, 4):  # neither whole nor the last part
            continue
        record, whole = Record.FromString(whole), b""
        name = record.run.display_name or name
        for update in [*record.config.update, *record.run.config.update]:
            config[update.key or "/".join(update.nested_key)] = json.loads(update.value_json)
        row = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
        for key, value in row.items():
            found.setdefault(key, []).append((json.loads(row.get("train/global_step", "0")), json.loads(value)))
    return name, found, config


@pytest.mark.parametrize(
    "asked, found",
    [
        ("report_to: none", []),
        ("report_to: trackio", ["trackio"]),
        ("report_to: [trackio, wandb]", ["trackio", "wandb"]),
        ("seed: 1", []),
    ],
)
def test_trackers_in_a_file(tmp_path, asked, found):
    from trl import TrlParser

    from hf_llmrec.methods.lcrec.trainer_config import LCRecTrainingConfig

    (tmp_path / "config.yaml").write_text(f"output_dir: {tmp_path}\nuse_cpu: true\n{asked}\n")
    parser = TrlParser((LCRecTrainingConfig,))
    (training,) = parser.parse_args_and_config(["--config", str(tmp_path / "config.yaml")])
    assert training.report_to == found


def test_nothing_is_tracked_unless_asked(tmp_path):
    from hf_llmrec.methods.galrec.trainer_config import GALRecTrainingConfig
    from hf_llmrec.methods.lcrec.trainer_config import LCRecTrainingConfig
    from hf_llmrec.methods.lightgcn.trainer_config import LightGCNTrainingConfig
    from hf_llmrec.methods.sasrec.trainer_config import SASRecTrainingConfig

    for kind in (LCRecTrainingConfig, GALRecTrainingConfig, SASRecTrainingConfig, LightGCNTrainingConfig):
        assert kind(output_dir=str(tmp_path), use_cpu=True).report_to == []
