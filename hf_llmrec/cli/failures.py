"""From the exception that ended a command to one line: what is wrong, and what to do about it."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from .commands import Command
from .option_help import options_of

# What a command can do to need less memory. Options that it does not have are no help: a test knows its parser.
_ROWS = "lower --tokens_per_batch and raise --gradient_accumulation_steps by the same factor"
_LANGUAGE_MODEL = (
    "lower --tokens_per_batch, or --per_device_train_batch_size, and raise --gradient_accumulation_steps by the same "
    "factor; --activation_checkpointing True and --use_peft True (LoRA) need less; several GPUs share what they hold "
    "under recipes/accelerate_configs/zero3.yaml or fsdp2.yaml; "
)
MEMORY = {
    "train lcrec": f"{_LANGUAGE_MODEL}while ranking, fewer --num_beams",
    "train galrec": f"{_LANGUAGE_MODEL}a shorter --max_history makes shorter rows",
    "train baseline": _ROWS,
    "train sasrec": _ROWS,
    "train lightgcn": _ROWS,
    "train knn": "--k_core leaves out rare users and items",
    "train popularity": "--k_core leaves out rare users and items",
    "evaluate": "lower --batch_size, and of LC-Rec --num_beams",
    "compare": "its batches are the models' own, which only `hf-llmrec evaluate` lowers: it takes a machine with more",
    "ablate": "lower tokens_per_batch, or per_device_train_batch_size, in the file of --base",
    "annotate": "with --local lower --concurrency, the chats of a batch, and --max_tokens",
    "build-index": (
        "give --text_embeddings made where there is more, instead of --text_encoder; of the RQ-VAE lower `batch_size` "
        "in --indexer_options"
    ),
}
_NO_MEMORY = ("CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "DefaultCPUAllocator")

# Modules that an extra of this package installs, and what others are called where they are installed from.
EXTRAS = {
    "sentence_transformers": "text",
    "torch_geometric": "lightgcn",
    "deepspeed": "deepspeed",
    "liger_kernel": "liger",
}
_FLAGS = {"deepspeed": "--no-build-isolation "}
_PACKAGES = {"FlashAttention2": "--no-build-isolation flash-attn", "tensorboard": "tensorboard"}

PRECISION = {
    "doesn't support bf16/gpu": "no GPU here computes in bf16: leave out --bf16, or give --use_cpu True",
    "ds bf16.enabled": (
        "`mixed_precision: bf16` of the accelerate configuration is not what this run trains in: where the hardware "
        'has bf16 give --bf16 True, where it has not set `mixed_precision` to "no", or to fp16 with --fp16 True'
    ),
    "ds fp16.enabled": (
        "`mixed_precision: fp16` of the accelerate configuration is not what this run trains in: give --fp16 True, or "
        'set `mixed_precision` to "no" or bf16'
    ),
}


def remedy(error: BaseException, command: str) -> str | None:
    """One line on what is wrong and what to do; ``None`` for a failure that is not known.

    Args:
        error: what ended the command; what it came from is looked at, too. command: a key of `COMMANDS`.
    """
    chain = list(_chain(error))
    name, kind = next((found for each in chain if (found := _repository(each))), (None, "model"))
    for each in chain:
        for line in (_memory(each, command), _package(each), _hub(each, name, kind), _precision(each)):
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
    if not is_full and not (isinstance(error, RuntimeError) and any(said in text for said in _NO_MEMORY)):
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
            return f"{module} is not installed: pip install {_FLAGS.get(module, '')}'hf_llmrec[{extra}]'"
    for name, package in _PACKAGES.items():
        if name in text and "installed" in text:
            return f"{name} is not installed: pip install {package}"
    if found := re.search(r"pip3? install ([^`\n]*[^`\n.])", text):
        # In quotes: a shell takes > for a file to write.
        package = re.sub(r"\S*[<>]\S*", r"'\g<0>'", found[1])
        return f"a package is not installed: pip install {package}"
    return None


def _hub(error: BaseException, name: str | None, kind: str) -> str | None:
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    if name is None:
        return None
    text, hub = str(error), constants.ENDPOINT
    if isinstance(error, GatedRepoError) or "is a gated dataset on the Hub" in text:
        page = f"{hub}/{'datasets/' if kind == 'dataset' else ''}{name}"
        return f"{name} is gated: accept its terms at {page}, then `hf auth login`, or set HF_TOKEN to your token"
    if isinstance(error, RepositoryNotFoundError) or "doesn't exist on the Hub" in text:
        return (
            f"{name} is neither a folder here nor a {kind} of {hub}: mend the name, or, if it is private, "
            "`hf auth login`, or set HF_TOKEN to a token that may read it"
        )
    if constants.HF_HUB_OFFLINE:
        why, mend = "HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE"
    else:
        why, mend = f"{hub} cannot be reached", "mend the connection, or HF_ENDPOINT"
    if isinstance(error, LocalEntryNotFoundError) or text.startswith("Couldn't reach '"):
        flag = " --repo-type dataset" if kind == "dataset" else ""
        return (
            f"{name} is no folder here and not, or not all, in the Hub's cache, and {why}: {mend}; or, on a machine "
            f"with a network, `hf download {name}{flag} --local-dir DIR`, and give DIR"
        )
    # Of whichever httpx the Hub's client is built on: no answer came.
    is_unanswered = "TransportError" in {kind.__name__ for kind in type(error).__mro__}
    if is_unanswered or isinstance(error, ConnectionError):
        return f"{name}: the Hub is needed, and {why}: {mend}"
    if isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403):
        return f"{name}: {hub} refuses this: `hf auth login`, or set HF_TOKEN to a token that may do it"
    return None


def _repository(error: BaseException) -> tuple[str, str] | None:
    """(name, kind) of the repository that an exception is about.

    Most exceptions do not say it: it is what the innermost function of huggingface_hub was called with.
    """
    if found := re.match(r"(?:Dataset|Couldn't reach) '([^']+)'", str(error)):
        return found[1], "dataset"
    repository, trace = None, error.__traceback__
    while trace is not None:
        known = trace.tb_frame.f_locals
        if isinstance(known.get("repo_id"), str):
            repository = known["repo_id"], known.get("repo_type") or "model"
        trace = trace.tb_next
    return repository


def _precision(error: BaseException) -> str | None:
    if not isinstance(error, ValueError):
        return None
    return next((line for said, line in PRECISION.items() if said in str(error)), None)
