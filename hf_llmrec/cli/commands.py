"""The commands of ``hf-llmrec``, without importing any of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        module: of ``hf_llmrec.cli``; its ``main`` takes the words after the command.
        text: what it does.
        options: ``module:class`` below ``hf_llmrec``, whose fields are its options; none: the command has a parser that
            imports nothing heavy.
        words: put before the user's. also: options of transformers' or TRL's classes that its help shows, with texts.
    """

    module: str
    text: str
    options: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    also: tuple[tuple[str, str], ...] = ()


_SAVED = (
    ("output_dir", "folder of the saved recommender, and of checkpoints (required)"),
    ("seed", "of all draws (default: 42)"),
    ("push_to_hub", "publish it at the end, as --hub_model_id"),
)
_BACKBONE = (
    ("model_name_or_path", "pretrained causal LM to start from, instead of --backbone"),
    ("use_peft", "LoRA instead of full tuning (--lora_r, --lora_alpha, ...)"),
)


def _baseline(name: str, text: str, config: str) -> Command:
    options = ("cli.baseline_options:BaselineArguments", config)
    return Command("train_baseline", text, options, ("--model", name), _SAVED)


_ROWS = "training.row_config:RowTrainingConfig"
COMMANDS: dict[str, Command] = {
    "quickstart": Command(
        "quickstart",
        "train, evaluate and recommend on the bundled demo shop",
        ("cli.quickstart:QuickstartArguments",),
    ),
    "doctor": Command("doctor", "what there is to train with, and what a training would take"),
    "convert": Command("convert", "raw files of a public data set -> a dataset folder"),
    "annotate": Command("annotate", "intentions and preferences from reviews, by a language model"),
    "build-index": Command(
        "build_index", "item texts or embeddings -> discrete item indices", ("cli.index_options:IndexArguments",)
    ),
    "train lcrec": Command(
        "train_lcrec",
        "alignment-tune a language model on item indices",
        ("cli.lcrec_options:LCRecArguments", "methods.lcrec.trainer_config:LCRecTrainingConfig"),
        also=_SAVED + _BACKBONE,
    ),
    "train galrec": Command(
        "train_galrec",
        "train a language model on users, items and their neighbourhoods",
        ("cli.galrec_options:GALRecArguments", "methods.galrec.trainer_config:GALRecTrainingConfig"),
        also=_SAVED + _BACKBONE,
    ),
    "train baseline": Command(
        "train_baseline",
        "train or fit one of the four that follow, as --model says",
        ("cli.baseline_options:BaselineArguments", _ROWS),
        also=_SAVED,
    ),
    "train sasrec": _baseline("sasrec", "train SASRec", "methods.sasrec.trainer_config:SASRecTrainingConfig"),
    "train lightgcn": _baseline("lightgcn", "train LightGCN", "methods.lightgcn.trainer_config:LightGCNTrainingConfig"),
    "train knn": _baseline("knn", "fit nearest neighbours of items", _ROWS),
    "train popularity": _baseline("popularity", "count how often each item was chosen", _ROWS),
    "evaluate": Command(
        "evaluate", "full-ranking metrics of a saved model", ("cli.evaluate_options:EvaluateArguments",)
    ),
    "compare": Command(
        "compare", "several models in one table, with intervals and in words", ("cli.compare_options:CompareArguments",)
    ),
    "ablate": Command(
        "ablate", "GAL-Rec with one thing changed at a time, over seeds", ("cli.ablate_options:AblationArguments",)
    ),
    "recommend": Command("recommend", "ask a saved model: items after a history"),
    "push": Command("push", "publish a saved model with its card, results and plots; or a demo Space"),
}
