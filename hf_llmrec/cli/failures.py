"""From the exception that ended a command to one line: what is wrong, and what to do about it."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from .commands import Command
from .hub_failures import hub_failure, repository_of
from .option_help import options_of
from .remedies import EXTRAS, FLAGS, MEMORY, NO_MEMORY, PACKAGES, PRECISION


def remedy(error: BaseException, command: str) -> str | None:
    """One line on what is wrong and what to do; ``None`` for a failure that is not known.

    Args:
        error: what ended the command; what it came from is looked at, too. command: a key of `COMMANDS`.
    """
    chain = list(_chain(error))
    name, kind = next((found for each in chain if (found := repository_of(each))), (None, "model"))
    for each in chain:
        for line in (_memory(each, command), _package(each), hub_failure(each, name, kind), _precision(each)):
            if line is not None:
                return line
    return None


def as_option(text: str, command: Command, words: Sequence[str]) -> str:
    """What the library says of a parameter, said of the option of that name: ``index I ...`` as ``--index I ...``.

    Args:
        text: an error's message. Messages about a parameter begin with its name.
        command: which options there are. words: of the command line.
    """
    found = re.match(r"(\w+)(?::|\s+(\S+))", text)
    if found is None or found[1] not in {name for place in command.options for name in options_of(place)[0]}:
        return text
    name, following = found.groups()
    # A single word may be no more than that, unless something is said of its value.
    is_option = "_" in name or following in (None, "must") or following.rstrip(":,") in words
    return f"--{text}" if is_option else text


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it came from, as a trace shows them."""
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
    if not is_full and not (isinstance(error, RuntimeError) and any(said in text for said in NO_MEMORY)):
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
    if found := re.search(r"pip3? install ([^`\n]*[^`\n.])", text):
        # In quotes: a shell takes > for a file to write.
        package = re.sub(r"\S*[<>]\S*", r"'\g<0>'", found[1])
        return f"a package is not installed: pip install {package}"
    return None


def _precision(error: BaseException) -> str | None:
    if not isinstance(error, ValueError):
        return None
    return next((line for said, line in PRECISION.items() if said in str(error)), None)
