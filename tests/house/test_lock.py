"""constraints.txt holds what pyproject.toml asks for, within its ranges, for every Python, and no build of CUDA."""

import importlib.util
import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
LOCKED_EXTRAS = re.search(r"^EXTRAS := (.+)$", MAKEFILE, re.M)[1].split()
TEXT = (ROOT / "constraints.txt").read_text()
LINES = [line for line in TEXT.splitlines() if not line.startswith("#")]
CUDA = re.compile(r"(nvidia|cuda)-|triton")

spec = importlib.util.spec_from_file_location("lowest_versions", ROOT / ".ci" / "lowest_versions.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
PLATFORMS = [("linux", "posix", "x86_64"), ("linux", "posix", "aarch64"), ("darwin", "posix", "arm64")]
PLATFORMS += [("win32", "nt", "AMD64")]


def locked_on(**environment: str) -> dict[str, str]:
    """The version of every package whose line applies, by canonical name."""
    found: dict[str, str] = {}
    for line in LINES:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{name} has two versions for {environment}"
            (only,) = requirement.specifier
            found[name] = only.version
    return found


def direct() -> list[Requirement]:
    return [Requirement(line) for line in tool.direct_requirements(PROJECT, LOCKED_EXTRAS)]


def test_every_line_is_one_exact_release():
    for line in LINES:
        assert re.fullmatch(r"[a-z0-9.-]+==[\w.!]+( ; [\w\s.'<>=!()]+)?", line), line
        assert not CUDA.match(line), f"a CPU machine would download it: {line}"
    assert not re.search(r"\w\.(org|com|net|io)\b|://|--|sha256", TEXT), "the file names no index and no hash"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform, system, machine", PLATFORMS)
def test_what_the_package_asks_for_is_locked_within_its_ranges(python, platform, system, machine):
    environment = {"python_version": python, "python_full_version": f"{python}.1", "sys_platform": platform}
    locked = locked_on(**environment, os_name=system, platform_machine=machine)
    assert f"{python}.1" in SpecifierSet(PROJECT["requires-python"])
    for requirement in direct():
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}, but {version} is locked"


def test_the_locked_extras_are_those_that_the_makefile_installs():
    # liger needs Triton, which no CPU machine gets; dev names the other three.
    assert {*LOCKED_EXTRAS, "liger", "lightgcn", "tracking", "tune"} == set(PROJECT["optional-dependencies"])
    installed = set(re.findall(r"\$\(PIP\).* --editable \"\.\[(.+)\]\"", MAKEFILE) + ["dev"])
    assert {extra for extras in installed for extra in extras.split(",")} == set(LOCKED_EXTRAS)
    built_with = re.search(r"\$\(PIP\) (setuptools .+)$", MAKEFILE, re.M)[1].split()
    assert set(built_with) <= set(locked_on())


def test_a_cpu_build_of_torch_satisfies_the_lock():
    version = locked_on()["torch"]
    assert version == re.search(r"^TORCH +:= (\S+)$", MAKEFILE, re.M)[1]
    assert SpecifierSet(f"=={version}").contains(f"{version}+cpu")


def test_nothing_that_a_locked_release_needs_is_missing():
    """Of the releases that are both locked and installed, every dependency that applies here is locked."""
    locked, seen = locked_on(), set()
    for distribution in distributions():
        name = canonicalize_name(distribution.metadata["Name"])
        if locked.get(name) != distribution.version.partition("+")[0]:
            continue
        seen.add(name)
        for line in distribution.requires or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                dependency = canonicalize_name(needed.name)
                assert dependency in locked or CUDA.match(dependency), f"{name} needs {needed}, which is not locked"
    assert "torch" in seen


def test_lowest_versions_follow_extras_and_want_a_lower_end():
    project = {"name": "own", "dependencies": ["one>=1.2,<3", "torch>=2"], "optional-dependencies": {}}
    project["optional-dependencies"] = {"dev": ["own[more]", "two[x]>=0.5"], "more": ["three[x]"], "bad": ["four<2"]}
    assert tool.lowest_versions(project, ["dev"]) == ["one==1.2", "two==0.5"]
    with pytest.raises(SystemExit, match="four<2 has no lower end"):
        tool.lowest_versions(project, ["bad"])
    assert len(tool.lowest_versions(PROJECT, list(PROJECT["optional-dependencies"]))) > 25
