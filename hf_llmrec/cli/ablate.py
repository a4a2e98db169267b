"""``ablate``: GAL-Rec with one thing changed at a time, over seeds, in one table and one plot."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from trl import ModelConfig

from ..cli import train_galrec
from ..data.demo import make_demo_shop
from ..data.files import read_json, write_json
from ..data.interactions import RecDataset
from ..evaluation.evaluator import evaluate_ranker
from ..evaluation.pair_auc import pair_auc
from ..methods.galrec.recommender import GALRecRecommender
from ..methods.galrec.trainer_config import GALRecTrainingConfig
from .ablation_report import ablation_table, save_ablation, summarize
from .galrec_model import GALRecArguments
from .list_options import json_object
from .models import open_ranker
from .option_parser import OptionParser, read_config
from .options import DatasetArguments, as_words, end_processes, start_run
from .results import run_facts
from .teacher import train_teacher

logger = logging.getLogger("hf_llmrec")
COMMUNITY_AUC = "community_auc"


@dataclass
class AblationArguments(DatasetArguments):
    """What is varied.

    Args:
        base: YAML file with the options of `train galrec` that all variants share.
        variants: per name the options that differ, as JSON or in the YAML file; the first is what others are compared
            with.
        seeds: each variant is trained with each.
        external_embeddings: for variants with collaborative embeddings; without it SASRec is trained once.
        text_embeddings: safetensors file of text embeddings.
        output_dir: folder for the models, ``ablation.json``, ``ablation.md`` and ``ablation.png``. Runs that are there
            already are not repeated, unless they were made from another ``base``, dataset or embedding file.
    """

    base: str = field(default=None, metadata={"help": "YAML file of options that all variants share"})
    variants: dict[str, Any] | str | None = field(
        default_factory=dict, metadata={"help": "per name the options that differ; the first is compared with"}
    )
    seeds: list[int] = field(default_factory=lambda: [0], metadata={"help": "each variant is trained with each"})
    external_embeddings: str | None = field(default=None, metadata={"help": "of a classical recommender"})
    text_embeddings: str | None = field(default=None, metadata={"help": "safetensors file of text embeddings"})
    output_dir: str = field(default=None, metadata={"help": "folder for the models, the table and the plot"})

    def __post_init__(self):
        self.variants = json_object("variants", self.variants)
        if not self.base or not self.output_dir:
            raise ValueError("--base and --output_dir are required")
        if not self.variants or not all(isinstance(changes, dict) for changes in self.variants.values()):
            raise ValueError("--variants must give, per name, the options that differ")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"--seeds must be different numbers, got {self.seeds}")


def made_from(arguments: AblationArguments, data: dict[str, Any]) -> dict[str, Any]:
    """What all runs follow from beside their variant and seed.

    Args:
        data: facts of the dataset.
    """
    files = {name: getattr(arguments, name) for name in ("external_embeddings", "text_embeddings")}
    digests = {name: file and _digest(Path(file).read_bytes()) for name, file in files.items()}
    return {"base": read_config(arguments.base), "data": data, "files": digests}


def changed_since(record: dict[str, Any], file: Path) -> list[str] | None:
    """In which of its parts ``record`` differs from that of the run in ``file``; ``None``: there is no such run."""
    if not file.is_file():
        return None
    there = read_json(file)
    return [name for name, value in record.items() if there.get(name) != value]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def train_variant(
    arguments: AblationArguments, dataset: RecDataset, changes: dict[str, Any], seed: int, folder: Path
) -> float:
    """Train one model; returns the seconds it took."""
    options = {"dataset": arguments.dataset, "k_core": arguments.k_core, "protocol": arguments.protocol}
    options |= {"output_dir": str(folder), "seed": seed, "disable_tqdm": True, "resume": False, **changes}
    parser = OptionParser((GALRecArguments, GALRecTrainingConfig, ModelConfig))
    parsed = parser.parse_args_and_config(["--config", arguments.base, *as_words(options)])
    began = time.perf_counter()
    one = parsed[0]
    if one.external != "text":
        one.external_embeddings = arguments.external_embeddings or shared_teacher(arguments, dataset, one)
    if one.external != "collaborative":
        one.text_embeddings = arguments.text_embeddings
    train_galrec.run(*parsed)
    return time.perf_counter() - began


def shared_teacher(arguments: AblationArguments, dataset: RecDataset, one: GALRecArguments) -> str:
    """Embeddings of the SASRec that all variants and seeds with the same ``teacher_options`` share."""
    follows_from = json.dumps([one.teacher_options, arguments.data_facts(dataset)], sort_keys=True)
    folder = Path(arguments.output_dir) / f"teacher-{_digest(follows_from.encode())}"
    return str(train_teacher(arguments, dataset, folder, one.teacher_options, resume=True))


def look_alike_pairs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of demo items of one kind, whose texts are nearly the same, and whether one community buys both.

    Items of one group differ least, but each is another community's: there is no pair of both kinds among them. So
    pairs are of one kind and two groups, (first rows, second rows, same community).
    """
    shop = make_demo_shop()
    first, second = np.triu_indices(len(shop.item_kind), 1)
    keep = (shop.item_kind[first] == shop.item_kind[second]) & (shop.item_group[first] != shop.item_group[second])
    first, second = first[keep], second[keep]
    return first, second, shop.item_community[first] == shop.item_community[second]


def measure(arguments: AblationArguments, folder: Path) -> dict[str, float]:
    """NDCG@10 on validation and test users; on the demo, the AUC of E_i^0 on look-alike pairs."""
    dataset, split = arguments.load()
    ranker = open_ranker(str(folder), dataset, split)
    assert isinstance(ranker, GALRecRecommender)
    found = {}
    for name in ("validation", "test"):
        result = evaluate_ranker(ranker, getattr(split, name))
        found[f"{name}_ndcg@10"] = result.metrics["ndcg@10"]
    if arguments.dataset == "demo":
        pairs = look_alike_pairs()
        found[COMMUNITY_AUC] = pair_auc(ranker.item_vectors(), *pairs)
        found["text_auc"] = pair_auc(ranker.trunk.item_external.cpu().numpy(), *pairs)
    return found


def run(arguments: AblationArguments) -> dict[str, Any]:
    """Train, measure, and write the table; returns what ``ablation.json`` holds."""
    if PartialState().num_processes > 1:
        raise ValueError("ablate trains one model after the other in one process: launch it with --num_processes 1")
    output = Path(arguments.output_dir)
    dataset, _ = arguments.load()
    common = made_from(arguments, arguments.data_facts(dataset))
    runs: dict[str, list[dict[str, float]]] = {}
    for name, changes in arguments.variants.items():
        for seed in arguments.seeds:
            folder = output / name / f"seed_{seed}"
            file = folder / "measures.json"
            # One that is there is used again only if it was made from the same.
            record = {"options": changes, "seed": seed, **common}
            changed = changed_since(record, file)
            if changed:
                logger.info("%s, seed %d: trained again, with other %s", name, seed, " and ".join(changed))
            if changed is None or changed:
                seconds = train_variant(arguments, dataset, changes, seed, folder)
                write_json(file, {**record, "measures": measure(arguments, folder), "seconds": round(seconds, 1)})
            found = read_json(file)["measures"]
            logger.info("%s, seed %d: %s", name, seed, {key: round(value, 4) for key, value in found.items()})
            runs.setdefault(name, []).append(found)
    measures = [key for key in next(iter(runs.values()))[0] if key != "text_auc"]
    report = {
        "dataset": arguments.dataset if arguments.dataset == "demo" else Path(arguments.dataset).name,
        "base": Path(arguments.base).name,
        "seeds": arguments.seeds,
        "variants": arguments.variants,
        "measures": measures,
        "summary": summarize(runs, measures),
        **({"text_auc": next(iter(runs.values()))[0]["text_auc"]} if arguments.dataset == "demo" else {}),
        **run_facts(),
    }
    write_json(output / "ablation.json", report)
    save_ablation(report, output)
    print(ablation_table(report["summary"], measures, arguments.seeds))
    return report


def main(argv: list[str] | None = None) -> int:
    (arguments,) = OptionParser((AblationArguments,)).parse_args_and_config(sys.argv[1:] if argv is None else argv)
    start_run(arguments)
    run(arguments)
    end_processes()
    return 0
