"""The Space: what is committed, what is pushed, and what is refused."""

import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import RepoCard

from hf_llmrec.cli import push
from hf_llmrec.hub.space import prepare_space

ROOT = Path(__file__).parents[2]
FILES = {"README.md", "app.py"}


def test_the_committed_space_is_what_is_pushed(tmp_path):
    prepare_space([], tmp_path)
    committed = ROOT / "spaces" / "demo"
    assert {path.name for path in tmp_path.iterdir()} == FILES
    for name in FILES:
        assert (committed / name).read_text() == (tmp_path / name).read_text(), f"{name}: render spaces/demo again"
    # A push names the commit that has the wheel; here the checkout is what there is.
    lines = (committed / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["../..[space]"]
    assert (committed / "../.." / "pyproject.toml").is_file()


def test_front_matter_names_what_the_hub_and_the_app_read(tmp_path):
    models = ["me/lcrec-ring", "me/sasrec-ring"]
    push.main(["--space", *models, "--repo_id", "me/demo", "--files_only", str(tmp_path / "space")])
    data = RepoCard.load(tmp_path / "space" / "README.md").data.to_dict()
    assert data["models"] == models and (data["sdk"], data["app_file"]) == ("gradio", "app.py")
    assert len(data["short_description"]) <= 60, "the Hub takes no more"
    assert data["sdk_version"].count(".") == 2
    assert "trained at the first start" not in (tmp_path / "space" / "README.md").read_text()


def test_a_space_is_pushed(hub, home):
    options = ["--space", "me/lcrec-ring", "--repo_id", "me/demo", "--private"]
    command = [sys.executable, str(ROOT / "recipes" / "push_to_hub.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=hub.environment(home), timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    repo = hub.repos["spaces", "me/demo"]
    files = repo.commits[repo.branches["main"]]
    assert (
        repo.private
        and repo.sdk == "gradio"
        and FILES | {"requirements.txt"} <= set(files)
        and b"- me/lcrec-ring" in files["README.md"]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--space", "here"], "'here' is no Hub id"),
        (["--space", "--model", "m"], "not allowed with"),
        (["--space", "me/x", "--result", "r.json"], "--result is about a model's card"),
        ([], "one of the arguments --model --space is required"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message, capsys, tmp_path):
    with pytest.raises((ValueError, SystemExit)) as error:
        push.main([*options, "--repo_id", "me/demo", "--files_only", str(tmp_path / "space")])
    assert message in f"{error.value}{capsys.readouterr().err}"
    assert not (tmp_path / "space").exists()


def test_a_folder_of_this_machine_is_no_model_of_a_space(tmp_path, monkeypatch):
    (tmp_path / "outputs" / "lcrec").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="reads models from the Hub"):
        prepare_space(["outputs/lcrec"], tmp_path / "space")
