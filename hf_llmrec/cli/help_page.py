"""Renders the help of commands whose options are dataclass fields."""

from __future__ import annotations

import textwrap

from .command import Command
from .option_help import Option, options_of


def render(name: str, command: Command) -> str:
    """The help text of a command.

    Args:
        name: a key of `COMMANDS`.
        command: the command of that name, with ``options``.
    """
    options: dict[str, Option] = {}
    outside: list[str] = []
    for place in command.options:
        more, further = options_of(place)
        options |= more
        outside += further
    lines = [f"usage: hf-llmrec {name} [--config FILE.yaml] [options]", "", command.text, "", "options:"]
    shown = [option for option in options.values() if f"--{option.name}" not in command.words]
    shown += [Option(name, "", text) for name, text in command.also]
    for option in [*shown, Option("config", "", "YAML file with options; those on the command line take precedence")]:
        lines += _lines(option)
    if outside:
        lines += ["", f"and the others of {' and '.join(outside)}; --help_all lists all"]
    return "\n".join(lines)


def _lines(option: Option) -> list[str]:
    default = " (required)" if option.default is None else f" (default: {option.default})"
    if option.default in ("", "None") or "default" in option.text:  # the text says what the default is
        default = ""
    text = textwrap.wrap(f"{option.text}{default}".replace("%%", "%"), 88) or [""]
    head = f"  --{option.name}"
    first = [f"{head:<28}{text[0]}"] if len(head) < 27 else [head, f"{'':<28}{text[0]}"]
    return [*first, *(f"{'':<28}{line}" for line in text[1:])]
