"""Prints the lowest versions that pyproject.toml admits as constraints for pip: `lowest_versions.py EXTRA ...`.

torch is left out: who calls this says which one is installed.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def direct_requirements(project: dict, extras: list[str]) -> Iterator[str]:
    """The requirements of a package and of some of its extras, through extras that name other extras."""
    yield from project["dependencies"]
    while extras:
        extra, *extras = extras
        for requirement in project["optional-dependencies"][extra]:
            own = re.fullmatch(re.escape(project["name"]) + r"\[(.+)\]", requirement)
            if own:
                extras = [*extras, *own[1].split(",")]
            else:
                yield requirement


def lowest_versions(project: dict, extras: list[str]) -> list[str]:
    """`name==version` of every direct requirement but torch; pip takes no extras of packages in constraints."""
    pins = set()
    for requirement in direct_requirements(project, extras):
        name, extra, version = re.match(r"([\w.-]+)(\[\w+\])?(?:>=([\w.]+))?", requirement).groups()
        if version is None and extra is None:
            raise SystemExit(f"{PYPROJECT.name}: {requirement} has no lower end")
        if version is not None and name != "torch":
            pins.add(f"{name}=={version}")
    return sorted(pins)


if __name__ == "__main__":
    print(*lowest_versions(tomllib.loads(PYPROJECT.read_text())["project"], sys.argv[1:]), sep="\n")
