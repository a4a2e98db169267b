"""The commands of ``hf-llmrec``, listed without importing them."""

from __future__ import annotations

from .command import Command

_SAVED = (
    ("output_dir", "folder for the recommender and its checkpoints (required)"),
    ("seed", "random seed (default: 42)"),
    ("push_to_hub", "publish the recommender at the end, as --hub_model_id"),
)
_SEARCHED = (
    ("output_dir", "folder for the trials, their table, the best options and the best recommender (required)"),
    ("seed", "random seed of the search and of each training (default: 0)"),
)
_BACKBONE = (
    ("model_name_or_path", "pretrained causal LM to start from, instead of --backbone"),
    ("use_peft", "LoRA instead of full tuning (--lora_r, --lora_alpha, ...)"),
)


def _baseline(name: str, text: str, config: str) -> Command:
    options = ("cli.baseline_options:BaselineArguments", config)
    return Command("train_baseline", text, options, ("--model", name), _SAVED)


_ROWS = "training.row_config:RowTrainingConfig"
GROUPS = ("train", "tune")  # first words of commands that have two
COMMANDS: dict[str, Command] = {
    "quickstart": Command(
        "quickstart",
        "train, evaluate and recommend on the bundled demo shop",
        ("cli.quickstart_options:QuickstartArguments",),
    ),
    "doctor": Command("doctor", "show devices and packages, and estimate what a training run takes"),
    "convert": Command("convert", "raw files of a public data set -> a dataset folder"),
    "annotate": Command("annotate", "have a language model write intentions and preferences from texts"),
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
        "train or fit one of the four baselines below, chosen with --model",
        ("cli.baseline_options:BaselineArguments", _ROWS),
        also=_SAVED,
    ),
    "train sasrec": _baseline("sasrec", "train SASRec", "methods.sasrec.trainer_config:SASRecTrainingConfig"),
    "train lightgcn": _baseline("lightgcn", "train LightGCN", "methods.lightgcn.trainer_config:LightGCNTrainingConfig"),
    "train knn": _baseline("knn", "fit nearest neighbours of items", _ROWS),
    "train popularity": _baseline("popularity", "count how often each item was chosen", _ROWS),
    "train text_encoder": Command(
        "train_text_encoder",
        "train a retriever of item texts, which also finds items without interactions",
        (
            "cli.text_encoder_options:TextEncoderArguments",
            "methods.text_encoder.trainer_config:TextEncoderTrainingConfig",
        ),
        also=_SAVED,
    ),
    "train fusion": Command(
        "train_fusion",
        "combine saved recommenders into a weighted ensemble tuned on validation users",
        ("cli.fusion_options:FusionArguments", _ROWS),
        also=_SAVED,
    ),
    "evaluate": Command(
        "evaluate", "compute full-ranking metrics of a saved model", ("cli.evaluate_options:EvaluateArguments",)
    ),
    "compare": Command(
        "compare",
        "compare models in one table with confidence intervals, and in words",
        ("cli.compare_options:CompareArguments",),
    ),
    "ablate": Command(
        "ablate",
        "train GAL-Rec variants that each change one thing, over seeds",
        ("cli.ablate_options:AblationArguments",),
    ),
    "recommend": Command(
        "recommend", "items that a saved model recommends after a history, or for every row of a table of histories"
    ),
    "export-catalog": Command("export_catalog", "items and index tokens of an LC-Rec, for another inference engine"),
    "push": Command("push", "publish a saved model with its card, results and plots, or a demo Space"),
}
for _method in ("sasrec", "galrec", "lcrec"):
    _train = COMMANDS[f"train {_method}"]
    _text = f"search for the options of `train {_method}` that are best on validation users"
    _options, _words = ("cli.tune_options:TuneArguments", *_train.options), ("--method", _method, *_train.words)
    COMMANDS[f"tune {_method}"] = Command("tune", _text, _options, _words, _SEARCHED)
