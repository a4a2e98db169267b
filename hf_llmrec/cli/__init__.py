"""The command line, ``hf-llmrec COMMAND ...``. Each command is also a script in ``recipes/``."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module

from .commands import COMMANDS, GROUPS
from .failures import as_option, remedy

_HELP = {"-h", "--help"}


def main(argv: list[str] | None = None) -> int:
    """Run one command. Heavy imports happen in the command's module, after its name has been checked.

    Errors that a user can fix (bad input, missing files) are printed in one line, without a traceback unless the
    environment variable ``HF_LLMREC_DEBUG`` is set. Other exceptions are raised; if `failures` recognises one, a line
    says what to do before the traceback.

    Args:
        argv: words of the command line after ``hf-llmrec``; default: those of this process.

    Returns:
        the exit status: 0, 1 after a user's error, 2 for a wrong command or option, 130 after an interrupt.
    """
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a notebook's is not, and shows every character
            # Titles may have characters that the console lacks: that must not cost the output of hours of work.
            stream.reconfigure(errors="backslashreplace")
    group = argv[0] if argv and argv[0] in GROUPS else ""
    name = " ".join(argv[: 2 if group else 1])
    if name not in COMMANDS:
        is_help = bool(argv) and (argv[0] in _HELP or bool(group) and bool(_HELP & set(argv[1:2])))
        wrong = "" if is_help or not argv else f"hf-llmrec: unknown command {name!r}\n"
        print(f"{wrong}{usage(group)}", file=sys.stdout if is_help else sys.stderr)
        return 0 if is_help else 2
    command, words = COMMANDS[name], argv[len(name.split()) :]
    if command.options and _HELP & set(words):
        from .help_page import render

        print(render(name, command))
        return 0
    if command.options or not _HELP & set(words):
        from ..registration import register

        register()
    words = [*command.words, *("--help" if word == "--help_all" else word for word in words)]
    try:
        return import_module(f"hf_llmrec.cli.{command.module}").main(words) or 0
    except KeyboardInterrupt:
        if os.environ.get("HF_LLMREC_DEBUG"):
            raise
        return 130
    except Exception as error:
        line = remedy(error, name)
        if line is not None:
            print(f"\nhf-llmrec {name}: {line}", file=sys.stderr)  # on a new line: a progress bar may be unfinished
        elif isinstance(error, (ValueError, OSError)) and not os.environ.get("HF_LLMREC_DEBUG"):
            message = as_option(" ".join(str(error).split()), command, words)
            print(f"hf-llmrec {name}: {message}", file=sys.stderr)
            return 1
        raise


def usage(group: str = "") -> str:
    """The usage text, with a list of commands.

    Args:
        group: first word of the commands to list, such as ``train``; default: all commands.
    """
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:<{width}}{each.text}" for name, each in COMMANDS.items() if name.startswith(group)]
    commands = "\n".join(lines)
    return f"usage: hf-llmrec COMMAND [options]\n\n{commands}\n\n`hf-llmrec COMMAND --help` lists options."
