"""Small models of the bundled demo shop. They train within a minute on two CPU cores, once, and are then cached."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import constants

from ..cli import build_index, train_baseline, train_galrec, train_lcrec
from ..cli.quickstart import demo_config

logger = logging.getLogger("hf_llmrec")
MODELS = ("lcrec", "galrec", "sasrec")
# Changes to the quickstart's configurations, so that training takes less than a minute.
_ONCE = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False, "disable_tqdm": True}
OPTIONS = {
    "lcrec": {
        "num_train_epochs": 5,
        "learning_rate": 3e-3,
        "warmup_steps": 20,
        "task_weights": {"seq": 1, "ite": 0.02},
        "eval_users": 200,  # who are ranked once, for the repeat bias and the memory
    },
    "galrec": {"num_train_epochs": 7, "loss_weights": {}, "edges_per_user": 1, "include_graph": True},
    "sasrec": {"num_train_epochs": 8},
}


def demo_models(cache_dir: str | os.PathLike | None = None) -> list[Path]:
    """Train the demo models or find them in the cache.

    The models are LC-Rec, GAL-Rec (with its graph, without graph-aware losses) and SASRec, trained on the demo shop.

    Args:
        cache_dir: folder of the cache; only completely trained models are stored. Default: a folder in the home of
            huggingface_hub's cache.

    Returns:
        One folder per model, in the order of `MODELS`.
    """
    configs = [demo_config(name).read_text(encoding="utf-8") for name in ("lcrec", "galrec")]
    recipe = json.dumps([version("hf_llmrec"), OPTIONS, _ONCE, *configs], sort_keys=True)
    name = f"demo-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    folder = Path(cache_dir or Path(constants.HF_HOME) / "hf_llmrec") / name
    if not folder.is_dir():
        logger.info("training the demo models, once, into %s", folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".training-") as staging:
            trained = Path(staging) / "models"
            trained.mkdir()
            _train(trained)
            try:
                os.rename(trained, folder)
            except OSError:  # another process was faster: its models are used
                if not folder.is_dir():
                    raise
    return [folder / model for model in MODELS]


def _train(folder: Path) -> None:
    data, index = ["--dataset", "demo"], folder / "index"
    build_index.main([*data, "--output_dir", str(index)])
    for name, command in (("lcrec", train_lcrec), ("galrec", train_galrec)):
        options = ["--index", str(index)] if name == "lcrec" else []
        with resources.as_file(demo_config(name)) as config:
            command.main(["--config", str(config), *data, *options, *_flags(name), "--output_dir", str(folder / name)])
    train_baseline.main(["--model", "sasrec", *data, *_flags("sasrec"), "--output_dir", str(folder / "sasrec")])


def _flags(name: str) -> list[str]:
    flags = []
    for option, value in {**OPTIONS[name], **_ONCE}.items():
        flags += [f"--{option}", json.dumps(value) if isinstance(value, dict) else str(value)]
    return flags
