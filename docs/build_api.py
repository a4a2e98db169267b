"""API reference from docstrings: python docs/build_api.py OUTPUT_DIR (needs `pdoc`)."""

from __future__ import annotations

import pkgutil
import sys
from pathlib import Path

import pdoc

import hf_llmrec


def modules() -> list[str]:
    """The package and its rooms, but for the app, which needs an extra."""
    rooms = [module.name for module in pkgutil.iter_modules(hf_llmrec.__path__, "hf_llmrec.")]
    return ["hf_llmrec", *rooms, "!hf_llmrec.space.app"]


def build(output: Path) -> None:
    """Write HTML pages."""
    for name in hf_llmrec.__all__:  # names are looked up when they are asked for; a reader of the module sees none
        setattr(hf_llmrec, name, getattr(hf_llmrec, name))
    pdoc.render.configure(docformat="google", footer_text=f"hf_llmrec {hf_llmrec.__version__}")
    pdoc.pdoc(*modules(), output_directory=output)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build(Path(sys.argv[1]))
