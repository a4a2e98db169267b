"""Help of commands whose options are dataclass fields, read from their source: importing them would take seconds."""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass
from pathlib import Path

from .commands import Command

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Option:
    """A command's option.

    Attributes:
        name: without dashes. default: as its source says it, ``None`` if it is required. text: its help.
    """

    name: str
    default: str | None
    text: str


def options_of(place: str) -> tuple[dict[str, Option], list[str]]:
    """The options of a dataclass and its bases, by name, and which bases lie outside the package.

    Args:
        place: ``module:class`` below ``hf_llmrec``.
    """
    module, _, name = place.partition(":")
    tree = ast.parse((_PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    found: dict[str, Option] = {}
    outside: list[str] = []
    classes = {each.name: each for each in tree.body if isinstance(each, ast.ClassDef)}
    node = classes[name]
    known = {**_imported(tree, module), **dict.fromkeys(classes, module)}
    for base in node.bases:
        above = ast.unparse(base)
        if above in known:
            more, further = options_of(f"{known[above]}:{above}")
            found |= more
            outside += further
        else:
            outside.append(above)
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.value, ast.Call):
            found[line.target.id] = _option(line.target.id, line.value)
    return found, outside


def _imported(tree: ast.Module, module: str) -> dict[str, str]:
    """Names that a file imports from the package, and from which of its modules."""
    found = {}
    for line in tree.body:
        if isinstance(line, ast.ImportFrom) and line.level:
            above = module.split(".")[: -line.level]
            found |= {alias.name: ".".join([*above, *(line.module or "").split(".")]) for alias in line.names}
    return found


def _option(name: str, field: ast.Call) -> Option:
    said = {word.arg: word.value for word in field.keywords}
    default = None
    if "default" in said:
        value = said["default"]
        default = str(value.value) if isinstance(value, ast.Constant) else ast.unparse(value)
    elif "default_factory" in said:
        made = said["default_factory"]
        default = ast.unparse(made.body) if isinstance(made, ast.Lambda) else {"dict": "{}", "list": "[]"}[made.id]
    text = ast.literal_eval(said["metadata"])["help"] if "metadata" in said else ""
    return Option(name, default, text)


def render(name: str, command: Command) -> str:
    """The help page of a command."""
    options: dict[str, Option] = {}
    outside: list[str] = []
    for place in command.options:
        found, further = options_of(place)
        options |= found
        outside += further
    lines = [f"usage: hf-llmrec {name} [--config FILE.yaml] [options]", "", command.text, "", "options:"]
    shown = [option for option in options.values() if f"--{option.name}" not in command.words]
    shown += [Option(name, "", text) for name, text in command.also]
    for option in [*shown, Option("config", "", "YAML file with options; those on the command line come first")]:
        lines += _lines(option)
    if outside:
        lines += ["", f"and the others of {' and '.join(outside)}; --help_all lists all"]
    return "\n".join(lines)


def _lines(option: Option) -> list[str]:
    default = " (required)" if option.default is None else f" (default: {option.default})"
    if option.default in ("", "None") or "default" in option.text:  # the text says what happens
        default = ""
    text = textwrap.wrap(f"{option.text}{default}", 88) or [""]
    head = f"  --{option.name}"
    first = [f"{head:<28}{text[0]}"] if len(head) < 27 else [head, f"{'':<28}{text[0]}"]
    return [*first, *(f"{'':<28}{line}" for line in text[1:])]
