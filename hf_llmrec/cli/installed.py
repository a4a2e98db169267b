"""Lists which packages and extras are installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement

# Optional packages that are in none of our extras, with the options that need them.
_FURTHER = {"flash-attn": "--attn_implementation flash_attention_2", "bitsandbytes": "--load_in_4bit"}


def package_lines() -> list[str]:
    """This package and its requirements, with versions."""
    requirements = [Requirement(line) for line in requires("hf_llmrec") or []]
    names = ["hf_llmrec", *(each.name for each in requirements if each.marker is None)]
    return [f"{name} {version(name)}" for name in names]


def extra_lines() -> list[str]:
    """The extras that are installed, and how to install the others."""
    lines = []
    for extra in metadata("hf_llmrec").get_all("Provides-Extra") or []:
        missing = [name for name in _needed_by(extra) if not _is_installed(name)]
        flags = "--no-build-isolation " if extra == "deepspeed" else ""
        how = f"pip install {flags}'hf_llmrec[{extra}]' (lacks {', '.join(missing)})" if missing else "there"
        lines.append(f"{extra}: {how}")
    return lines + [
        f"{name} ({use}): {'there' if _is_installed(name) else 'not there'}" for name, use in _FURTHER.items()
    ]


def _needed_by(extra: str, package: str = "hf_llmrec") -> list[str]:
    """The packages that an extra installs, including those of extras of other packages."""
    parsed = [Requirement(line) for line in requires(package) or []]
    needed = [each for each in parsed if each.marker is not None and each.marker.evaluate({"extra": extra})]
    further = [each for each in needed if each.extras and _is_installed(each.name)]
    names = [name for each in further for inner in each.extras for name in _needed_by(inner, each.name)]
    return [*(each.name for each in needed), *names]


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
