"""Checks before a release that a tag, the version and the changelog agree: `check_release.py v0.2.0`.

Prints the version; a disagreement is an error that names the file.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def check_release(tag: str, root: Path = ROOT) -> str:
    """The version that a tag releases.

    Args:
        tag: such as ``v0.2.0`` or ``v0.2.0rc1``.
        root: folder of the checkout.

    Raises:
        ValueError: the tag is no version, or a file has another one, or the changelog has none of this version.
    """
    match = re.fullmatch(r"v(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)", tag)
    if match is None:
        raise ValueError(f"tag {tag!r} must be v and a version, such as v0.2.0 or v0.2.0rc1")
    version = match[1]
    declared = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    found = re.search(r'^__version__ = "(.+)"$', (root / "hf_llmrec" / "__init__.py").read_text(), re.MULTILINE)
    for file, value in (("pyproject.toml", declared), ("hf_llmrec/__init__.py", found and found[1])):
        if value != version:
            raise ValueError(f"{file}: the version is {value}, the tag is {tag}")
    headings = re.findall(r"^## (.+)$", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    # Release candidates are listed under the release that they prepare.
    release = re.split(r"a|b|rc", version)[0]
    if not headings or not re.fullmatch(rf"{re.escape(release)} \(\d{{4}}-\d{{2}}-\d{{2}}\)", headings[0]):
        raise ValueError(
            f"CHANGELOG.md: the first heading must be `## {release} (YYYY-MM-DD)`, is "
            f"{'missing' if not headings else repr(headings[0])}"
        )
    return version


if __name__ == "__main__":
    try:
        print(check_release(*sys.argv[1:]))
    except (TypeError, ValueError) as error:
        sys.exit(f"check_release.py: {error}")
