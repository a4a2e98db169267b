"""Turns the exception that ended a command into one line: what is wrong, and what to do about it."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from .command import Command
from .hub_failures import hub_failure, repository_of
from .option_help import options_of
from .remedies import EXTRAS, FLAGS, MEMORY, NO_MEMORY, PACKAGES, PRECISION


def remedy(error: BaseException, command: str) -> str | None:
    """One line on what is wrong and what to do; ``None`` if the failure is not recognised.

    Args:
        error: the exception that ended the command; the exceptions that caused it are examined, too.
        command: a key of `COMMANDS`.
    """
    chain = list(_chain(error))
    name, kind = next((repository for each in chain if (repository := repository_of(each))), (None, "model"))
    for each in chain:
        for line in (_memory(each, command), _package(each), hub_failure(each, name, kind), _precision(each)):
            if line is not None:
                return line
    return None


def as_option(text: str, command: Command, words: Sequence[str]) -> str:
    """Turns an error message about a parameter into one about its option: ``index I ...`` into ``--index I ...``.

    Args:
        text: the message. Messages about a parameter begin with its name.
        command: the command, whose options are looked up.
        words: words of the command line.
    """
    match = re.match(r"(\w+)(?::|\s+(\S+))", text)
    known = {name for place in command.options for name in options_of(place)[0]} | {name for name, _ in command.also}
    if match is None or match[1] not in known:
        return text
    name, following = match.groups()
    # A single word may be an ordinary word, unless its value follows.
    is_option = "_" in name or following in (None, "must") or following.rstrip(":,") in words
    return f"--{text}" if is_option else text


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that caused it, as a traceback shows them."""
    following: BaseException | None = error
    seen: set[int] = set()  # causes can go round in a circle
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _memory(error: BaseException, command: str) -> str | None:
    import torch

    text = str(error)
    is_full = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    is_full = is_full or isinstance(error, OSError) and error.errno == errno.ENOMEM
    if not is_full and not (isinstance(error, RuntimeError) and any(message in text for message in NO_MEMORY)):
        return None
    if isinstance(error, torch.OutOfMemoryError) or "CUDA" in text or "CUBLAS" in text:
        advice = MEMORY.get(command, "end what else runs on it, or set CUDA_VISIBLE_DEVICES= (empty) for the CPU")
        return f"out of memory on the GPU: {advice}"
    return f"out of memory: {MEMORY.get(command, 'it takes a machine with more')}"


def _package(error: BaseException) -> str | None:
    text = str(error)
    if not isinstance(error, ImportError) and not (isinstance(error, RuntimeError) and "to be installed" in text):
        return None
    for module, extra in EXTRAS.items():
        is_named = re.search(rf"\b{module.replace('_', '[_-]')}\b", text, re.IGNORECASE) is not None
        if is_named and find_spec(module) is None:
            return f"{module} is not installed: pip install {FLAGS.get(module, '')}'hf_llmrec[{extra}]'"
    for name, package in PACKAGES.items():
        if name in text and "installed" in text:
            return f"{name} is not installed: pip install {package}"
    if match := re.search(r"pip3? install ([^`\n]*[^`\n.])", text):
        # In quotes: a shell would redirect the output at a >.
        package = re.sub(r"\S*[<>]\S*", r"'\g<0>'", match[1])
        return f"a package is not installed: pip install {package}"
    return None


def _precision(error: BaseException) -> str | None:
    if not isinstance(error, ValueError):
        return None
    return next((line for message, line in PRECISION.items() if message in str(error)), None)
