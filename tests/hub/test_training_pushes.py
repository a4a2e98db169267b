"""`--push_to_hub` while a model is trained: real pushes to a local Hub, what was pushed in use, runs that move."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import TrainerControl, TrainerState

from hf_llmrec.cli import build_index, train_baseline
from hf_llmrec.training.pushes import TrainingPushes
from hf_llmrec.training.row_config import RowTrainingConfig

from .server import run

TRAIN = """
import json, os, sys
from accelerate import PartialState
from hf_llmrec.cli import train_baseline, train_galrec, train_lcrec
from hf_llmrec.training.pushes import TrainingPushes

mains = {"lcrec": train_lcrec.main, "galrec": train_galrec.main, "baseline": train_baseline.main}
killed_at = int(sys.argv[2])
on_save = TrainingPushes.on_save

def on_save_then_die(self, args, state, control, **kwargs):
    on_save(self, args, state, control, **kwargs)
    if self.wanted and state.global_step == killed_at:
        self.wait()
        PartialState().wait_for_everyone()  # else the launcher ends the first process before its push has arrived
        os._exit(9)

TrainingPushes.on_save = on_save_then_die
for command, options in json.loads(sys.argv[1]):
    mains[command](options)
"""
SHORT = ["--max_steps", "6", "--logging_steps", "1", "--save_steps", "2", "--learning_rate", "0.01"]
SHORT += ["--use_cpu", "True", "--lr_scheduler_type", "constant", "--eval_users", "20", "--disable_tqdm", "True"]
TINY = ["--backbone_overrides", '{"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}']
# The best checkpoint is that of the first evaluation, which a resumed run must know.
WORST = ["--metric_for_best_model", "loss", "--greater_is_better", "True"]
LORA = ["--use_peft", "True", "--lora_r", "4", "--lora_dropout", "0.2"]


class Trainings:
    """Runs training commands in a fresh process that knows no Hub but the local one."""

    def __init__(self, hub, home, root):
        self.hub, self.home, self.root = hub, home, root

    def options(self, method, output, *options):
        own = {
            "lcrec": ["--index", str(self.root / "index"), "--max_length", "96", "--tokens_per_batch", "600", *TINY],
            "galrec": ["--external", "text", "--per_device_train_batch_size", "15", "--queue_length", "16", *TINY],
            "sasrec": ["--model", "sasrec", "--tokens_per_batch", "100", "--model_options", '{"hidden_size": 16}'],
            "lightgcn": ["--model", "lightgcn", "--tokens_per_batch", "100"],
        }[method]
        if method in ("sasrec", "lightgcn"):
            own += ["--eval_steps", "2"]
        places = ["--dataset", str(self.root / "ring"), "--output_dir", str(self.root / output)]
        return ["baseline" if method in ("sasrec", "lightgcn") else method, [*places, *own, *SHORT, *options]]

    def start(self, *jobs, killed_at=0):
        command = [sys.executable, "-c", TRAIN, json.dumps(jobs), str(killed_at)]
        environment = self.hub.environment(self.home)
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)

    def run(self, *jobs, killed_at=0, ends_with=0):
        """What the training logs."""
        process = self.start(*jobs, killed_at=killed_at)
        log = process.communicate(timeout=300)[1]
        assert process.returncode == ends_with, log[-4000:]
        return log

    def losses(self, output):
        report = json.loads((self.root / output / "training_report.json").read_text())
        return {entry["step"]: entry["loss"] for entry in report["log"] if "loss" in entry}

    def weights(self, output):
        return (self.root / output / "model.safetensors").read_bytes()

    def commits(self, repo):
        """(message, commit, files) of what was pushed after the wheel."""
        found = self.hub.repos["models", f"me/{repo}"]
        messages = {oid: found.messages[oid] for oid in found.commits}
        wanted = {oid: message for oid, message in messages.items() if message and not message.endswith(".whl")}
        assert sum(message.endswith(".whl") for message in messages.values()) <= 1, "at every push"
        return [(message, oid, found.commits[oid]) for oid, message in wanted.items()]


@pytest.fixture(scope="module")
def trainings(hub, home, dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("pushes")
    dataset.save(root / "ring")
    build_index.main(["--dataset", str(root / "ring"), "--output_dir", str(root / "index")])
    return Trainings(hub, home, root)


def push(repo, strategy, always=True):
    options = ["--push_to_hub", "True", "--hub_model_id", f"me/{repo}", "--hub_strategy", strategy]
    return [*options, "--hub_always_push", str(always)]


IN_PROGRESS = [f"Training in progress, step {step}" for step in (2, 4, 6)]
ASK = """
import json, sys
import hf_llmrec
from transformers import pipeline
for repo, commit in json.loads(sys.argv[1]):
    rec = pipeline("recommendation", model=repo, revision=commit)
    answers = rec({"history": ["i3", "i4"]}, top_k=3)
    assert len(answers) == 3 and answers[0]["title"].startswith("Ring piece"), answers
print("all answer")
"""


def test_every_save_is_a_recommender_and_costs_the_training_nothing(trainings, hub, home):
    """With LoRA and dropout: the same losses and weights as without a push, and as of a run that ended there."""
    saves = {"lcrec": LORA, "galrec": LORA, "sasrec": [], "lightgcn": []}
    jobs = []
    for method, options in saves.items():
        jobs.append(trainings.options(method, f"{method}_alone", *options))
        jobs.append(trainings.options(method, f"{method}_pushed", *options, *push(method, "every_save")))
    jobs.append(trainings.options("lcrec", "lcrec_short", *LORA, "--max_steps", "2"))
    trainings.run(*jobs)
    asked = []
    for method in saves:
        assert trainings.losses(f"{method}_alone") == trainings.losses(f"{method}_pushed"), method
        assert trainings.weights(f"{method}_alone") == trainings.weights(f"{method}_pushed"), method
        commits = trainings.commits(method)
        assert [message for message, _, _ in commits] == [*IN_PROGRESS, "Upload model"]
        for _, _, files in commits:
            assert {"model.safetensors", "item_catalog.json", "recommender.json", "README.md"} <= set(files)
            assert ("tokenizer.json" in files) == (method in ("lcrec", "galrec"))
            assert not any("/" in name and not name.startswith("custom_generate/") for name in files), sorted(files)
            assert not any(name.endswith((".bin", ".pt", ".pth")) or "adapter" in name for name in files)
        asked.append((f"me/{method}", commits[1][1]))
        assert len({files["model.safetensors"] for _, _, files in commits}) >= 3, "it is another model at every save"
        assert not list((trainings.root / f"{method}_pushed").glob(".staging*"))
    assert trainings.commits("lcrec")[0][2]["model.safetensors"] == trainings.weights("lcrec_short")
    assert run(hub, home, ASK, json.dumps(asked)) == "all answer"


@pytest.mark.parametrize(
    "method, strategy, options",
    [
        ("lcrec", "checkpoint", LORA),
        pytest.param("galrec", "checkpoint", [], marks=(pytest.mark.slow, pytest.mark.ci)),
        ("sasrec", "checkpoint", WORST),
        pytest.param("sasrec", "all_checkpoints", WORST, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_goes_on_in_an_empty_folder(trainings, method, strategy, options):
    repo = f"{method}-{strategy}"
    pushed = [*options, *push(repo, strategy)]
    whole = trainings.options(method, f"{repo}_whole", *options)
    killed = trainings.options(method, f"{repo}_killed", *pushed, "--resume", "True")
    log = trainings.run(whole, killed, killed_at=4, ends_with=9)
    assert f"me/{repo} has no {'last-' * (strategy == 'checkpoint')}checkpoint: the run begins anew" in log
    folders = {name.split("/")[0] for name in trainings.commits(repo)[-1][2] if "/" in name}
    other = {"best-checkpoint"} if method == "sasrec" else set()
    expected = {"last-checkpoint", *other} if strategy == "checkpoint" else {"checkpoint-2", "checkpoint-4"}
    assert folders - {"custom_generate"} == expected
    # Of a run of two processes, which was here before.
    stored = trainings.hub.repos["models", f"me/{repo}"]
    stored.commit({"last-checkpoint/rng_state_1.pth": b"", "notes.md": b"somebody's"}, "main")
    log = trainings.run(trainings.options(method, f"{repo}_resumed", *pushed, "--resume", "True"))
    assert f"step 4 of me/{repo} was fetched" in log and "does not exist anymore" not in log
    whole, resumed = trainings.losses(f"{repo}_whole"), trainings.losses(f"{repo}_resumed")
    assert resumed == whole and set(resumed) == set(range(1, 7)), "the log of the steps before comes along"
    assert trainings.weights(f"{repo}_whole") == trainings.weights(f"{repo}_resumed")
    files = trainings.commits(repo)[-1][2]
    assert "notes.md" in files
    if strategy == "checkpoint":
        assert "last-checkpoint/rng_state_1.pth" not in files and "last-checkpoint/optimizer.pt" in files


@pytest.mark.slow
def test_a_checkpoint_of_other_processes_is_refused(trainings):
    trainings.run(trainings.options("sasrec", "others", *push("others", "checkpoint")))
    repo = trainings.hub.repos["models", "me/others"]
    state = repo.commits[repo.branches["main"]]["last-checkpoint/rng_state.pth"]
    changes = {"last-checkpoint/rng_state.pth": None, "last-checkpoint/rng_state_0.pth": state}
    repo.commit(changes, "main")
    options = trainings.options("sasrec", "others_again", *push("others", "checkpoint"), "--resume", "True")
    assert "was not written by 1 processes: resume with as many as before" in trainings.run(options, ends_with=1)


def test_a_hub_that_fails_does_not_end_the_training(trainings, hub):
    """But the push at the end does: nobody is to believe that the model has arrived."""
    hub.failing = {("me/failing", "step 2"), ("me/failing", "step 4"), ("me/in-vain", "Upload model")}
    failing = trainings.options("sasrec", "failing", *push("failing", "every_save"))
    in_vain = trainings.options("sasrec", "in_vain", *push("in-vain", "end"))
    log = trainings.run(failing, in_vain, ends_with=1)
    for step in (2, 4):
        assert f"step {step} was not pushed to me/failing, training goes on: HfHubHTTPError" in log
    assert [message for message, _, _ in trainings.commits("failing")] == [IN_PROGRESS[2], "Upload model"]
    assert trainings.losses("failing") == trainings.losses("in_vain")
    assert not trainings.commits("in-vain") and trainings.weights("in_vain"), "the model is saved here all the same"


def test_never_two_pushes_at_once(trainings, hub):
    hub.open.clear()
    try:
        process = trainings.start(trainings.options("sasrec", "slow", *push("slow", "every_save", always=False)))
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "waiting for the push under way" in line:
                break
        assert not trainings.commits("slow")
    finally:
        hub.open.set()
    log = "".join(lines) + process.communicate(timeout=120)[1]
    assert process.returncode == 0, log[-3000:]
    assert "step 4 is not pushed: the push before it is under way" in log and "step 6 is not" not in log
    messages = [message for message, _, _ in trainings.commits("slow")]
    assert messages == [IN_PROGRESS[0], IN_PROGRESS[2], "Upload model"]


@pytest.mark.slow
def test_no_right_to_write_is_known_before_the_training(trainings):
    job = trainings.options("sasrec", "denied", *push("denied", "end"), "--hub_token", "hf_of_nobody")
    log = trainings.run(job, ends_with=1)
    assert "401" in log and "step 1 of 6" not in log


@pytest.mark.parametrize(
    "strategy, option, message",
    [
        ("every_save", ["--save_strategy", "no", "--load_best_model_at_end", "False"], "--save_strategy no makes none"),
        ("checkpoint", ["--save_only_model", "True"], "which --save_only_model leaves out"),
    ],
)
def test_strategies_that_leave_nothing_to_push(trainings, strategy, option, message):
    _, options = trainings.options("sasrec", "nothing", *push("nothing", strategy), *option)
    with pytest.raises(ValueError, match=message):
        train_baseline.main(options)


@pytest.mark.slow
@pytest.mark.ci
def test_two_processes(trainings):
    """Both stage what the first one sends, and go on from what it fetches."""
    root = Path(__file__).parents[2]
    config = root / "recipes" / "accelerate_configs" / "ddp_cpu.yaml"
    program = trainings.root / "train.py"
    program.write_text(TRAIN)

    def launch(*job, killed_at=0):
        command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
        command += [str(program), json.dumps([job]), str(killed_at)]
        environment = {**trainings.hub.environment(trainings.home), "PYTHONPATH": str(root)}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)

    pushed = [*LORA, *push("two", "checkpoint")]
    done = launch(*trainings.options("lcrec", "two_whole", *LORA))
    assert done.returncode == 0, done.stderr[-4000:]
    killed = launch(*trainings.options("lcrec", "two_killed", *pushed), killed_at=4)
    assert killed.returncode != 0 and "pushed to" in killed.stderr, killed.stderr[-6000:]
    files = trainings.commits("two")[-1][2]
    assert {f"last-checkpoint/rng_state_{rank}.pth" for rank in range(2)} <= set(files)
    done = launch(*trainings.options("lcrec", "two_resumed", *pushed, "--resume", "True"))
    assert done.returncode == 0, done.stderr[-4000:]
    assert trainings.losses("two_resumed") == trainings.losses("two_whole")
    assert trainings.weights("two_resumed") == trainings.weights("two_whole")


def test_a_save_takes_none_of_the_random_numbers_of_the_run(tmp_path, monkeypatch):
    training = RowTrainingConfig(output_dir=str(tmp_path), push_to_hub=True, hub_strategy="every_save", use_cpu=True)
    drawn = []

    def save(folder):
        folder.mkdir(parents=True)
        drawn.append(torch.rand(3))

    pushes = TrainingPushes(training, save)
    monkeypatch.setattr(pushes, "_send", lambda staging, step: None)
    before = torch.get_rng_state()
    pushes.on_save(training, TrainerState(global_step=2, max_steps=4), TrainerControl())
    pushes.wait()
    assert len(drawn) == 1 and torch.equal(torch.get_rng_state(), before)
