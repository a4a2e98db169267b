"""The command line: ``hf-llmrec COMMAND ...``; each command is also a script in ``recipes/``."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module

from .commands import COMMANDS
from .failures import as_option, remedy

_HELP = {"-h", "--help"}


def main(argv: list[str] | None = None) -> int:
    """Run one command. Heavy imports happen in the command, after its name is known to be right.

    What a user can mend (bad input, missing files) is told in one line, with exit status 1; set ``HF_LLMREC_DEBUG=1``
    to see where it arose. Other failures are raised; of those that `failures` knows, a line says first what to do. A
    wrong command or option gives 2, an interrupt 130.
    """
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a notebook's is not, and shows every letter
            # A title may have letters that the console does not: after hours of work it must not lose the answer.
            stream.reconfigure(errors="backslashreplace")
    name = " ".join(argv[: 2 if argv[:1] == ["train"] else 1])
    if name not in COMMANDS:
        is_help = bool(argv) and (argv[0] in _HELP or argv[:1] == ["train"] and bool(_HELP & set(argv[1:2])))
        wrong = "" if is_help or not argv else f"hf-llmrec: unknown command {name!r}\n"
        print(f"{wrong}{usage('train' if argv[:1] == ['train'] else '')}", file=sys.stdout if is_help else sys.stderr)
        return 0 if is_help else 2
    command, words = COMMANDS[name], argv[len(name.split()) :]
    if command.options and _HELP & set(words):
        from .option_help import render

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
            print(f"\nhf-llmrec {name}: {line}", file=sys.stderr)  # below what may be half a progress bar
        elif isinstance(error, (ValueError, OSError)) and not os.environ.get("HF_LLMREC_DEBUG"):
            said = as_option(" ".join(str(error).split()), command, words)
            print(f"hf-llmrec {name}: {said}", file=sys.stderr)
            return 1
        raise


def usage(group: str = "") -> str:
    """What commands there are, all or those of a group."""
    lines = [f"  {name:<18}{each.text}" for name, each in COMMANDS.items() if name.startswith(group)]
    listed = "\n".join(lines)
    return f"usage: hf-llmrec COMMAND [options]\n\n{listed}\n\n`hf-llmrec COMMAND --help` lists options."
