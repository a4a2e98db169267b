"""A release is refused where tag, versions and changelog disagree; the workflow runs this check before it builds."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".ci" / "check_release.py"


@pytest.fixture(scope="module")
def check_release():
    spec = importlib.util.spec_from_file_location("check_release", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.check_release


@pytest.fixture
def checkout(tmp_path):
    def make(version="0.2.0", own="0.2.0", heading="0.2.0 (2027-01-15)"):
        (tmp_path / "hf_llmrec").mkdir(exist_ok=True)
        (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "x"\nversion = "{version}"\n')
        (tmp_path / "hf_llmrec" / "__init__.py").write_text(f'"""Doc."""\n\n__version__ = "{own}"\n')
        (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {heading}\n\n- x\n\n## 0.1.0 (2026-01-01)\n")
        return tmp_path

    return make


def test_what_agrees_is_released(check_release, checkout):
    assert check_release("v0.2.0", checkout()) == "0.2.0"
    assert check_release("v0.2.0rc1", checkout("0.2.0rc1", "0.2.0rc1")) == "0.2.0rc1"


@pytest.mark.parametrize(
    ("tag", "changes", "message"),
    [
        ("0.2.0", {}, "tag '0.2.0' must be v and a version"),
        ("v0.2", {}, "tag 'v0.2' must be v and a version"),
        ("v0.3.0", {}, "pyproject.toml: the version is 0.2.0, the tag is v0.3.0"),
        ("v0.2.0", {"own": "0.1.0"}, "hf_llmrec/__init__.py: the version is 0.1.0, the tag is v0.2.0"),
        ("v0.2.0", {"heading": "Unreleased"}, "CHANGELOG.md: the first heading must be `## 0.2.0 .YYYY-MM-DD.`"),
        ("v0.2.0", {"heading": "0.2.0 (soon)"}, "is '0.2.0 .soon.'"),
    ],
)
def test_what_disagrees_is_refused(check_release, checkout, tag, changes, message):
    with pytest.raises(ValueError, match=message):
        check_release(tag, checkout(**changes))


def test_the_package_declares_one_version(check_release):
    """Of this checkout, whose changelog is that of the next release."""
    import hf_llmrec

    done = subprocess.run(
        [sys.executable, SCRIPT, f"v{hf_llmrec.__version__}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "CHANGELOG.md: the first heading" in done.stderr


def test_the_workflow_checks_before_it_publishes():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    commands = [step["run"] for step in jobs["build"]["steps"] if "run" in step]
    assert commands == ['python .ci/check_release.py "$GITHUB_REF_NAME"', "make lint", "make test", "make dist"]
    publish = jobs["publish"]
    assert publish["needs"] == "build" and publish["permissions"] == {"id-token": "write"}
    assert publish["environment"] == "pypi" and "password" not in str(publish)
