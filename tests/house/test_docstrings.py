"""Docstrings that tools can read: one entry per parameter, under its own name, in the order of the signature."""

import ast
import re
from pathlib import Path

import pytest

import hf_llmrec

PACKAGE = Path(hf_llmrec.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Example|Examples|Yields|Note):\s*$")
REFERENCE = "parameters are those of"


def section(docstring: str, name: str) -> list[str] | None:
    """Names of the entries of a section, or ``None`` without it."""
    lines = docstring.splitlines()
    starts = [number for number, line in enumerate(lines) if line.strip() == f"{name}:"]
    if not starts:
        return None
    indent = len(lines[starts[0]]) - len(lines[starts[0]].lstrip())
    names = []
    for line in lines[starts[0] + 1 :]:
        depth = len(line) - len(line.lstrip())
        if line.strip() and depth <= indent:
            break
        if line.strip() and depth == indent + 4:
            names.append(line.strip().partition(":")[0].partition(" (")[0].lstrip("*"))
    return names


def parameters(function: ast.FunctionDef) -> list[str]:
    arguments = function.args
    given = [*arguments.posonlyargs, *arguments.args]
    given += [each for each in (arguments.vararg,) if each] + arguments.kwonlyargs
    given += [each for each in (arguments.kwarg,) if each]
    return [each.arg for each in given if each.arg not in ("self", "cls")]


def fields(node: ast.ClassDef) -> list[str] | None:
    """Parameters of a class: those of its ``__init__``, or the fields of a dataclass."""
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            return parameters(each)
    if any("dataclass" in ast.unparse(each) for each in node.decorator_list):
        return [
            each.target.id
            for each in node.body
            if isinstance(each, ast.AnnAssign) and "ClassVar" not in ast.unparse(each.annotation)
        ]
    return None


def complaints(path: Path) -> list[str]:
    wrong = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        docstring = ast.get_docstring(node) or ""
        place = f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}"
        for name in ("Args", "Attributes"):
            shared = [entry for entry in section(docstring, name) or [] if not entry.isidentifier()]
            wrong += [f"{place}: {name} has the entry {entry!r}" for entry in shared]
        documented = section(docstring, "Args")
        expected = fields(node) if isinstance(node, ast.ClassDef) else parameters(node)
        if documented is None or expected is None or any(not entry.isidentifier() for entry in documented):
            continue
        if REFERENCE in " ".join(docstring.split()):
            expected = [name for name in expected if name in documented]
        if documented != expected:
            wrong.append(f"{place}: Args has {documented}, the signature {expected}")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_parameter_has_its_own_entry(path):
    assert not complaints(path)
