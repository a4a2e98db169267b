"""The command line: ``hf-llmrec COMMAND ...``; each command is also a script in ``recipes/``."""

from __future__ import annotations

import os
import sys
from importlib import import_module

COMMANDS = {
    "build-index": ("build_index", "item texts or embeddings -> discrete item indices"),
    "train-lcrec": ("train_lcrec", "alignment-tune a language model on item indices"),
    "train-galrec": ("train_galrec", "train a language model on users, items and their neighbourhoods"),
    "train-baseline": ("train_baseline", "train SASRec or LightGCN, or fit nearest neighbours or popularity"),
    "ablate": ("ablate", "GAL-Rec with one thing changed at a time, over seeds"),
    "evaluate": ("evaluate", "full-ranking metrics of a saved model"),
    "recommend": ("recommend", "ask a saved model: items after a history"),
    "push": ("push", "publish a saved model with its card, results and plots; or a demo Space"),
    "compare": ("compare", "several models in one table, with intervals and in words"),
    "quickstart": ("quickstart", "train, evaluate and recommend on the bundled demo shop"),
}


# Their options are known without transformers.
_LIGHT = {"recommend", "push"}


def main(argv: list[str] | None = None) -> int:
    """Run one command. Heavy imports happen in the command, after its name is known to be right.

    What a user can mend (bad input, missing files) is told in one line, with exit status 1; set ``HF_LLMREC_DEBUG=1``
    to see where it arose. A wrong command or option gives 2, an interrupt 130.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help") or argv[0] not in COMMANDS:
        lines = [f"  {name:<16}{text}" for name, (_, text) in COMMANDS.items()]
        usage = (
            "usage: hf-llmrec COMMAND [options]\n\n"
            + "\n".join(lines)
            + "\n\n`hf-llmrec COMMAND --help` lists options."
        )
        known = bool(argv) and argv[0] in ("-h", "--help")
        print(usage if known or not argv else f"hf-llmrec: unknown command {argv[0]!r}\n{usage}", file=sys.stderr)
        return 0 if known else 2
    if argv[0] not in _LIGHT or not {"-h", "--help"} & set(argv):
        from ..registration import register

        register()
    module, _ = COMMANDS[argv[0]]
    command = import_module(f"hf_llmrec.cli.{module}").main
    if os.environ.get("HF_LLMREC_DEBUG"):
        return command(argv[1:]) or 0
    try:
        return command(argv[1:]) or 0
    except (ValueError, OSError) as error:
        print(f"hf-llmrec {argv[0]}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
