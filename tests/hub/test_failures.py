"""What a Hub that is not reached, or that refuses, makes a command say: one line with what to do, before the trace."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .server import Repo

ROOT = Path(__file__).parents[2]
# Commands after each other, each with its trace. A client that finds nobody waits between its attempts; not here.
CODE = """
import json, sys, time, traceback
time.sleep = lambda seconds: None
from hf_llmrec.cli import main
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except Exception:  # whatever it is: its trace is what the tests read
        traceback.print_exc()
    print("END", file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="module")
def folder(dataset, index, tmp_path_factory):
    root = tmp_path_factory.mktemp("hub_failures")
    dataset.save(root / "data")
    index.save_pretrained(root / "index")
    return root


@pytest.fixture(scope="module")
def hub(hub):
    for kind in ("models", "datasets"):
        hub.repos[kind, "me/gated"] = Repo(gated=True)
        hub.repos[kind, "me/gated"].commit({"config.json": b"{}", "README.md": b""}, "main")
    return hub


def asked(folder, name: str) -> dict[str, list[str]]:
    """Commands that look for a name on the Hub, by what they take it for."""
    data, index, out = (str(folder / each) for each in ("data", "index", "out"))
    train = ["train", "lcrec", "--output_dir", out, "--use_cpu", "True", "--report_to", "none"]
    return {
        "model": [*train, "--dataset", data, "--index", index, "--model_name_or_path", name],
        "index": [*train, "--dataset", data, "--index", name],
        "dataset": [*train, "--dataset", name, "--index", index],
        "recommender": ["evaluate", "--dataset", data, "--model", name],
        "pipeline": ["recommend", name, "--history", "i3"],
        "encoder": ["build-index", "--dataset", data, "--output_dir", out, "--text_encoder", name],
    }


def lines(environment: dict[str, str], commands: list[list[str]]) -> list[str]:
    """Of each command its one line, after a check that the trace follows."""
    command = [sys.executable, "-c", CODE, json.dumps(commands)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    *parts, _ = done.stderr.split("END\n")
    assert done.returncode == 0 and len(parts) == len(commands), done.stderr[-3000:]
    found = []
    for words, said in zip(commands, parts, strict=True):
        (line,) = (line for line in said.splitlines() if line.startswith("hf-llmrec "))
        assert line.startswith(f"hf-llmrec {' '.join(words[: 2 if words[0] == 'train' else 1])}: ")
        before, _, after = said.partition(line)
        assert "Traceback (most recent call last)" in after and "Traceback" not in before, said
        found.append(line.partition(": ")[2])
    return found


@pytest.mark.parametrize("token", [None, "hf_of_the_owner"], ids=["nobody", "logged in"])
def test_gated_and_missing_names(hub, home, folder, token):
    gated, missing = asked(folder, "me/gated"), asked(folder, "me/nothing")
    if token:  # the Hub answers with other codes, to all commands alike
        gated, missing = ({kind: found[kind] for kind in ("model", "dataset")} for found in (gated, missing))
    commands = [*gated.values(), *missing.values()]
    found = lines(hub.environment(home / str(token), token), commands)
    for kind, line in zip(gated, found, strict=False):
        page = f"{hub.url}/{'datasets/' if kind == 'dataset' else ''}me/gated"
        assert line == (
            f"me/gated is gated: accept its terms at {page}, then `hf auth login`, or set HF_TOKEN to your token"
        ), kind
    for kind, line in zip(missing, found[len(gated) :], strict=True):
        what = "dataset" if kind == "dataset" else "model"
        assert line.startswith(f"me/nothing is neither a folder here nor a {what} of {hub.url}: "), kind
        assert "hf auth login" in line and "HF_TOKEN" in line


@pytest.mark.parametrize("offline", [True, False], ids=["offline", "no connection"])
def test_a_hub_that_is_not_reached(hub, home, folder, offline):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    environment = hub.environment(home / "empty") | {"HF_ENDPOINT": nobody, "HF_HUB_OFFLINE": str(int(offline))}
    commands = asked(folder, "me/shop")
    *read, pushed = lines(environment, [*commands.values(), ["push", "--space", "me/shop", "--repo_id", "me/demo"]])
    why = "HF_HUB_OFFLINE is set: unset HF_HUB_OFFLINE" if offline else f"{nobody} cannot be reached: mend the conn"
    for kind, line in zip(commands, read, strict=True):
        flag = " --repo-type dataset" if kind == "dataset" else ""
        assert line.startswith("me/shop is no folder here") and why in line, kind
        assert f"`hf download me/shop{flag} --local-dir DIR`" in line, kind
    assert pushed.startswith("me/demo: the Hub is needed, and ") and why in pushed and "folder" not in pushed


def test_who_may_not_push(hub, home):
    command = ["push", "--space", "me/shop", "--repo_id", "me/demo"]
    (line,) = lines(hub.environment(home / "nobody", token=None), [command])
    assert line.startswith(f"me/demo: {hub.url} refuses this: `hf auth login`")


def test_a_recipe_ends_with_an_exit_code(hub, home, folder):
    """What `hf-llmrec` prints is what a recipe prints."""
    words = asked(folder, "me/gated")["recommender"][1:]
    command = [sys.executable, str(ROOT / "recipes" / "evaluate.py"), *words]
    environment = hub.environment(home) | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 1 and "hf-llmrec evaluate: me/gated is gated: " in done.stderr
