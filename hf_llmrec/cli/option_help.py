"""Reads options that are dataclass fields from source files: importing the modules would take seconds."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_EMPTY = {"dict": "{}", "list": "[]"}


@dataclass(frozen=True)
class Option:
    """An option of a command.

    Attributes:
        name: without dashes.
        default: as the source writes it; ``None`` if the option is required.
        text: its help text.
    """

    name: str
    default: str | None
    text: str


def options_of(place: str) -> tuple[dict[str, Option], list[str]]:
    """Read the options of a dataclass and its bases.

    Args:
        place: ``module:class`` below ``hf_llmrec``.

    Returns:
        the options by name, and the names of bases that lie outside the package, whose fields are not among them.
    """
    module, _, name = place.partition(":")
    tree = ast.parse((_PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    options: dict[str, Option] = {}
    outside: list[str] = []
    classes = {each.name: each for each in tree.body if isinstance(each, ast.ClassDef)}
    if name not in classes:  # a base that only type checkers see: an `object` at run time
        return {}, []
    node = classes[name]
    modules = {**_imported(tree, module), **dict.fromkeys(classes, module)}
    for base in node.bases:
        above = ast.unparse(base)
        if above in modules:
            inherited, further = options_of(f"{modules[above]}:{above}")
            options |= inherited
            outside += further
        else:
            outside.append(above)
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(line.value, ast.Call):
            options[line.target.id] = _option(line.target.id, line.value)
    return options, outside


def _imported(tree: ast.Module, module: str) -> dict[str, str]:
    """The module of each name that a file imports from the package."""
    modules = {}
    for line in tree.body:
        if isinstance(line, ast.ImportFrom) and line.level:
            above = module.split(".")[: -line.level]
            modules |= {alias.name: ".".join([*above, *(line.module or "").split(".")]) for alias in line.names}
    return modules


def _option(name: str, field: ast.Call) -> Option:
    given = {word.arg: word.value for word in field.keywords}
    default = None
    if "default" in given:
        value = given["default"]
        default = str(value.value) if isinstance(value, ast.Constant) else ast.unparse(value)
    elif "default_factory" in given:
        make = given["default_factory"]
        default = ast.unparse(make.body) if isinstance(make, ast.Lambda) else _EMPTY[ast.unparse(make)]
    text = ast.literal_eval(given["metadata"])["help"] if "metadata" in given else ""
    return Option(name, default, text)
