"""What a published repository installs hf_llmrec from: pip itself, against a local Hub, with nothing but the file."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement

from hf_llmrec.cli import push
from hf_llmrec.hub import requirements
from hf_llmrec.hub.package_wheel import make_wheel
from hf_llmrec.hub.requirements import push_requirement, requirement_files

from .server import TOKEN, run

WHEEL = f"hf_llmrec-{version('hf_llmrec')}-py3-none-any.whl"
# Pushes after each other; what each logs.
PUSH = """
import io, json, logging, os, sys
from hf_llmrec.cli import push
log = io.StringIO()
logging.getLogger("hf_llmrec").addHandler(logging.StreamHandler(log))
said = {}
for name, words in json.loads(sys.argv[1]).items():
    log.seek(log.truncate(0))
    push.main(words)
    said[name] = log.getvalue()
    if name == "model":
        os.environ["HF_LLMREC_REQUIREMENT"] = open(os.environ["HF_HOME"] + "/line").read()
    else:
        os.environ.pop("HF_LLMREC_REQUIREMENT", None)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def folder(recommender_folders):
    return str(recommender_folders["sasrec"])


@pytest.fixture(scope="module")
def pushed(hub, home, folder):
    """What the pushes of this file logged, by name."""
    model = ["--model", folder, "--repo_id"]
    elsewhere = f"hf_llmrec @ {hub.url}/me/model/resolve/main/{WHEEL}"
    (home / "line").write_text(elsewhere)
    pushes = {
        "model": [*model, "model", "--revision", "main"],
        "hidden": [*model, "me/hidden", "--private"],  # with a requirement of its own
        "again": [*model, "me/model"],
        "space": ["--space", "--repo_id", "me/space"],
        "secret": [*model, "me/secret", "--private"],
    }
    return json.loads(run(hub, home, PUSH, json.dumps(pushes)))


def newest(hub, name: str) -> dict[str, bytes]:
    """Files of a repository."""
    repo = hub.repos["spaces" if name == "space" else "models", f"me/{name}"]
    return repo.commits[repo.branches["main"]]


def install(folder, requirement: bytes) -> subprocess.CompletedProcess:
    """pip, as a container runs it: in another folder, which has the requirements and nothing else; no other index."""
    folder.mkdir()
    (folder / "requirements.txt").write_bytes(requirement)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--no-cache-dir",
        "--target",
        "target",
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        [*command, "-r", "requirements.txt"], cwd=folder, capture_output=True, text=True, env=environment, timeout=120
    )


@pytest.mark.parametrize("name", ["model", "space"])
def test_pip_installs_the_wheel_of_the_repository(hub, pushed, tmp_path, name):
    repo = hub.repos[f"{name}s", f"me/{name}"]
    files = newest(hub, name)
    line = files["requirements.txt"].decode()
    extra, place = ("[space]", "spaces/") if name == "space" else ("", "")
    where = re.escape(f"hf_llmrec{extra} @ {hub.url}/{place}me/{name}/resolve/")
    commit, digest = re.fullmatch(rf"{where}(\w{{40}})/{re.escape(WHEEL)}#sha256=(\w{{64}})\n", line).groups()
    # The commit that is named has the wheel, and is older than the one that names it.
    assert hashlib.sha256(repo.commits[commit][WHEEL]).hexdigest() == digest
    assert list(repo.commits).index(commit) < list(repo.commits).index(repo.branches["main"])

    done = install(tmp_path / "container", files["requirements.txt"])
    assert done.returncode == 0, done.stderr
    code = "import hf_llmrec, importlib.metadata as m; print(hf_llmrec.__file__, m.version('hf_llmrec'))"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "target"}
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "container", capture_output=True, text=True, env=environment
    )
    target = tmp_path / "container" / "target"
    assert found.stdout.split() == [str(target / "hf_llmrec" / "__init__.py"), version("hf_llmrec")]
    assert {path.name for path in (target / "hf_llmrec" / "space").iterdir()} >= {"app.py", "style.css"}

    # Another file under that name is not installed.
    wheel = repo.commits[commit][WHEEL]
    repo.commits[commit][WHEEL] = wheel + b" "
    try:
        done = install(tmp_path / "changed", files["requirements.txt"])
    finally:
        repo.commits[commit][WHEEL] = wheel
    assert done.returncode != 0 and "DO NOT MATCH THE HASHES" in done.stderr


def test_a_second_push_commits_no_second_wheel(hub, pushed):
    messages = list(hub.repos["models", "me/model"].messages.values())
    assert messages.count(f"Upload {WHEEL}") == 1 and messages.count("Upload model") == 2


def test_a_private_repository_is_warned_of(hub, pushed, tmp_path):
    assert "me/secret is private, and pip sends no token" in pushed["secret"]
    assert "HF_LLMREC_REQUIREMENT" in pushed["secret"] and "is private" not in pushed["model"]
    requirement = newest(hub, "secret")["requirements.txt"]
    assert TOKEN.encode() not in requirement
    done = install(tmp_path / "container", requirement)
    assert done.returncode != 0 and "401" in done.stderr, "else the warning is wrong"


def test_a_private_repository_installs_from_elsewhere(hub, home, pushed, tmp_path):
    files = newest(hub, "hidden")
    # Releases of packaging write such a line with and without a space before the @.
    line = files["requirements.txt"].decode()
    assert line.count("\n") == 1 and Requirement(line.strip()) == Requirement((home / "line").read_text().strip())
    assert WHEEL not in files and "is private" not in pushed["hidden"]
    done = install(tmp_path / "container", files["requirements.txt"])
    assert done.returncode == 0, done.stderr


def test_files_for_a_push_by_other_means(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.example")
    push.main(["--model", folder, "--repo_id", "me/x", "--files_only", str(tmp_path / "model")])
    push.main(["--space", "--repo_id", "me/x", "--files_only", str(tmp_path / "space")])
    digest = hashlib.sha256((tmp_path / "model" / WHEEL).read_bytes()).hexdigest()
    for kind, start in {"model": "hf_llmrec @ {}", "space": "hf_llmrec[space] @ {}"}.items():
        place = f"/{'spaces/' if kind == 'space' else ''}me/x/resolve/main/{WHEEL}#sha256={digest}\n"
        (line,) = (tmp_path / kind / "requirements.txt").read_text().splitlines(keepends=True)
        assert line.startswith(start.format("http")) and line.endswith(place)
    with pytest.raises(ValueError, match="'x' has no owner"):
        push.main(["--model", folder, "--repo_id", "x", "--files_only", str(tmp_path / "none")])
    assert not (tmp_path / "none").exists()


def test_after_a_release_the_version_is_asked_for(monkeypatch):
    monkeypatch.setattr(requirements, "RELEASED", True)
    assert push_requirement("me/x") == f"hf_llmrec>={version('hf_llmrec')}"  # and nothing is pushed
    assert requirement_files("x", extra="space") == {
        "requirements.txt": f"hf_llmrec[space]>={version('hf_llmrec')}\n".encode()
    }


def test_a_requirement_of_ones_own(monkeypatch):
    monkeypatch.setenv("HF_LLMREC_REQUIREMENT", "hf-llmrec[text]==0.1.0")
    assert requirement_files("x", extra="space")["requirements.txt"] == b"hf-llmrec[space,text]==0.1.0\n"
    for wrong, message in {
        "hf_llmrec @": "HF_LLMREC_REQUIREMENT=hf_llmrec @: ",
        "torch": "a requirement of hf_llmrec",
    }.items():
        monkeypatch.setenv("HF_LLMREC_REQUIREMENT", wrong)
        with pytest.raises(ValueError, match=message):
            requirement_files("x")


def test_the_wheel_is_the_same_every_time_and_lists_its_files():
    name, content = make_wheel()
    assert name == WHEEL
    environment = {**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}
    code = "import hashlib; from hf_llmrec.hub import package_wheel as wheel; "
    code += "print(hashlib.sha256(wheel.make_wheel()[1]).hexdigest())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == hashlib.sha256(content).hexdigest()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        (record,) = (archive.read(name).decode() for name in names if name.endswith("/RECORD"))
        (entry_points,) = (archive.read(name).decode() for name in names if name.endswith("/entry_points.txt"))
    assert {line.split(",")[0] for line in record.splitlines()} == set(names)
    assert "hf-llmrec = hf_llmrec.cli:main" in entry_points
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert not any("__pycache__" in name or "/." in name for name in names)
