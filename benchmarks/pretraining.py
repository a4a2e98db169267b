"""Does a pretrained language model recommend better than the same one from random weights? One command, several arms.

    python benchmarks/pretraining.py --dataset D --index I --output_dir O --model HuggingFaceTB/SmolLM2-135M \
        --search_learning_rates 2e-4 5e-4 1e-3 --arms pretrained random shuffled_5e pretrained_5e

All arms are LC-Rec on the same index, rows and tokens; they rank by codes alone, without memory, repeat bias and time.

- ``pretrained``: the first layers of the language model.
- ``random``: the same architecture from random weights.
- ``shuffled``: the pretrained weights, permuted within each matrix.
- ``three_layer``: the model of recipes/configs/lcrec/beauty_cpu.yaml.

A name may have suffixes: ``pretrained_30l`` (layers), ``_seed1``, ``_5e`` (epochs), ``_mut`` (of ``--task_sets``),
``_rows200`` (steps that train the index rows alone), ``_cold`` (with ``--cold_items``) and ``_memory``. Epochs,
learning rates and checkpoints are chosen on validation users; test users are ranked once per arm. An interrupted
command goes on where it was when it is given again: finished arms are kept, an arm continues from its last checkpoint.
``O/pretraining.json``, ``O/pretraining.png`` and the ranks of the test users (``O/arms/*/test_ranks.safetensors``) are
written after every arm.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pretraining_arms import KINDS, LAYERS, ROOT, Arm, starting_weights
from pretraining_plot import save_plot
from safetensors.numpy import load_file, save_file
from transformers import HfArgumentParser, TrainerCallback

from hf_llmrec.cli import train_lcrec
from hf_llmrec.cli.option_words import as_words
from hf_llmrec.cli.results import run_facts
from hf_llmrec.data.files import read_json, write_json
from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.data.splits import RecSplit
from hf_llmrec.evaluation.compare import case_groups, paired_bootstrap
from hf_llmrec.evaluation.evaluator import evaluate_ranker
from hf_llmrec.evaluation.metrics import metric_values, ranking_metrics
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.training.added_callbacks import added_callbacks
from hf_llmrec.training.checkpoints import checkpoints
from hf_llmrec.training.cpu_features import bf16_feature

logger = logging.getLogger("hf_llmrec")
# The rows are the same in all arms, whatever their configurations say.
ROWS: dict[str, Any] = {"seq_form": "packed", "packed_prefix": "", "max_history": 20, "item_dropout": 0.2}


@dataclass
class PretrainingArguments:
    """The experiment.

    Args:
        dataset: folder or Hub id.
        index: folder of an index of its items.
        output_dir: folder of the arms and of the result.
        model: Hub id or folder of the pretrained model.
        arms: names of arms, perhaps with suffixes.
        config: training configuration of the arms with a language model.
        layers: number of layers of arms whose name has no such suffix.
        seeds: each arm whose name has no such suffix is trained with each of them.
        epochs: of arms whose name has no such suffix; the cosine schedule ends with them.
        learning_rates: per kind of arm, as JSON; replaces those of the search and the defaults.
        search_learning_rates: rates that are tried for ``pretrained`` and ``random``, each by a short run.
        search_epochs: epochs of these runs.
        options: further options of ``train lcrec`` per kind of arm, as JSON.
        task_sets: sets of tasks by suffix, as JSON.
        tokens_per_batch: tokens per batch of all arms.
        max_length: maximum number of tokens of a row of all arms.
        eval_users: validation users that are ranked after every epoch (0: all).
        test_users: test users that are ranked (0: all); others are for trials.
        cold_items: share of the items that arms with ``_cold`` hold out.
        cold_index: index for them, made with the same share.
        bf16: bf16 autocast; default: where the GPU, or the CPU, has instructions for it.
    """

    dataset: str
    index: str
    output_dir: str
    model: str = "HuggingFaceTB/SmolLM2-135M"
    arms: list[str] = field(default_factory=lambda: list(KINDS))
    config: str = str(ROOT / "recipes/configs/lcrec/smollm2_135m_cpu_full.yaml")
    layers: int = LAYERS
    seeds: list[int] = field(default_factory=lambda: [0])
    epochs: int = 20
    learning_rates: str = "{}"
    search_learning_rates: list[float] = field(default_factory=list)
    search_epochs: int = 3
    options: str = "{}"
    task_sets: str = '{"mut": {"seq": 1.0, "mut": 1.0}}'
    tokens_per_batch: int = 3600
    max_length: int = 128
    eval_users: int = 2000
    test_users: int = 0
    cold_items: float = 0.0
    cold_index: str | None = None
    bf16: bool | None = None

    def __post_init__(self):
        for name in ("learning_rates", "options", "task_sets"):
            try:
                setattr(self, name, json.loads(getattr(self, name)))
            except json.JSONDecodeError as error:
                raise ValueError(f"{name} is no JSON: {error}") from error
        for name in ("learning_rates", "options"):
            if unknown := sorted(set(getattr(self, name)) - set(KINDS)):
                raise ValueError(f"{name}: there are no arms {', '.join(unknown)}; there are {', '.join(KINDS)}")
        if self.bf16 is None:
            gpu = torch.cuda.is_available()
            self.bf16 = torch.cuda.is_bf16_supported() if gpu else bf16_feature() is not None

    def planned(self) -> list[Arm]:
        """The arms to train, each once, in the order of their names."""
        found: dict[str, Arm] = {}
        for seed in self.seeds:
            for name in self.arms:
                arm = Arm.parse(name, Arm("pretrained", self.layers, seed), self.task_sets)
                found.setdefault(arm.name, arm)
        if any(arm.is_cold for arm in found.values()) and not (self.cold_items and self.cold_index):
            raise ValueError("arms with _cold need --cold_items and --cold_index, an index made with the same share")
        return list(found.values())


# Used where neither --learning_rates nor a search says otherwise; three_layer's is that of its recipe.
DEFAULT_RATES = {"pretrained": 5e-4, "random": 1e-3, "shuffled": 5e-4, "three_layer": 2e-3}


class Curve(TrainerCallback):
    """Writes tokens and seconds of training, without evaluations and saves, into the log; a resumed run goes on."""

    def on_train_begin(self, args, state, control, **kwargs):
        args.include_num_input_tokens_seen = "non_padding"  # not to be had as an option of the command
        self.seconds = next((entry["seconds"] for entry in reversed(state.log_history) if "seconds" in entry), 0.0)
        self.mark = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        now = time.perf_counter()
        self.seconds, self.mark = self.seconds + now - self.mark, now

    def on_log(self, args, state, control, **kwargs):
        state.log_history[-1] |= {"seconds": self.seconds, "tokens": int(state.num_input_tokens_seen)}

    def on_evaluate(self, args, state, control, **kwargs):
        self.mark = time.perf_counter()

    def on_save(self, args, state, control, **kwargs):
        self.mark = time.perf_counter()


class Experiment:
    """Trains arms, and collects what they measured.

    Args:
        arguments: of the command.
    """

    def __init__(self, arguments: PretrainingArguments):
        self.arguments, self.folder = arguments, Path(arguments.output_dir)
        self.dataset = RecDataset.load(arguments.dataset)
        self.rates: dict[tuple[str, int], dict[str, float]] = {}

    def split(self, arm: Arm) -> RecSplit:
        return self.dataset.split(cold_items=self.arguments.cold_items if arm.is_cold else 0.0)

    def learning_rate(self, arm: Arm) -> float:
        """That of ``--learning_rates``, the best one of the search, or the default."""
        kind, given = arm.kind, self.arguments.learning_rates
        if kind in given or not self.arguments.search_learning_rates or kind == "three_layer":
            return given.get(kind, DEFAULT_RATES[kind])
        searched = "random" if kind == "random" else "pretrained"
        if (searched, arm.layers) not in self.rates:
            self.rates[searched, arm.layers] = self._search(Arm(searched, arm.layers))
        tried = self.rates[searched, arm.layers]
        return float(max(tried, key=tried.__getitem__))

    def _search(self, arm: Arm) -> dict[str, float]:
        """Validation NDCG@10 of the best epoch by learning rate."""
        tried = {}
        for rate in self.arguments.search_learning_rates:
            folder = self.folder / "search" / f"{arm.name}_{rate:g}"
            done = self._train(arm, folder, rate, self.arguments.search_epochs)
            tried[f"{rate:g}"] = max(point[3] for point in done["curve"])
            print(f"{arm.name}, learning rate {rate:g}: validation NDCG@10 {tried[f'{rate:g}']:.4f}", flush=True)
        return tried

    def _words(self, arm: Arm, folder: Path, rate: float, epochs: int) -> list[str]:
        """The options of ``train lcrec``."""
        arguments, values = self.arguments, dict(ROWS)
        config = ROOT / "recipes/configs/lcrec/beauty_cpu.yaml"
        if arm.kind != "three_layer":
            config = arguments.config
            values["model_name_or_path"] = starting_weights(arm, arguments.model, self.folder / "bases")
            values["num_layers"] = arm.layers
            values["bf16"] = arguments.bf16
            values["save_dtype"] = "float32"  # that of the pretrained arm would be its checkpoint's
        values |= {
            "dataset": arguments.dataset,
            "index": arguments.cold_index if arm.is_cold else arguments.index,
            "output_dir": folder,
            "task_weights": arguments.task_sets[arm.tasks] if arm.tasks else {"seq": 1.0},
            "tokens_per_batch": arguments.tokens_per_batch,
            "max_length": arguments.max_length,
            "learning_rate": rate,
            "num_train_epochs": epochs,
            "seed": arm.seed,
            "eval_users": arguments.eval_users,
            "eval_strategy": "epoch",
            "save_strategy": "epoch",
            "save_total_limit": 1,
            "memory": arm.memory,
            "learn_repeat_bias": arm.memory,
            "warmup_rows_steps": arm.warmup_rows,
            "report_to": "none",
            "resume": True,
            "disable_tqdm": True,
            **({"cold_items": arguments.cold_items} if arm.is_cold else {}),
            "use_cpu": not torch.cuda.is_available(),
            **arguments.options.get(arm.kind, {}),
        }
        return ["--config", str(config), *as_words(values)]

    def _train(self, arm: Arm, folder: Path, rate: float, epochs: int) -> dict[str, Any]:
        """Train an arm, or go on with it; ``arm.json`` in its folder says what came out, without the test."""
        settings = {
            **{"seed": arm.seed, "layers": arm.layers, "learning_rate": rate, "epochs": epochs},
            "tasks": self.arguments.task_sets[arm.tasks] if arm.tasks else {"seq": 1.0},
            "options": self.arguments.options.get(arm.kind, {}),
            "rows": {**ROWS, **{name: getattr(self.arguments, name) for name in ("tokens_per_batch", "max_length")}},
            "eval_users": self.arguments.eval_users,
            "warmup_rows_steps": arm.warmup_rows,
            **{name: Path(getattr(self.arguments, name)).name for name in ("dataset", "model", "config")},
            "index": Path(self.arguments.cold_index if arm.is_cold else self.arguments.index).name,
            **{"cold_items": self.arguments.cold_items if arm.is_cold else 0.0, "bf16": self.arguments.bf16},
        }
        file = folder / "arm.json"
        if file.is_file():
            done = read_json(file)
            differing = [
                f"{name} was {done.get(name)}, is {value}"
                for name, value in settings.items()
                if done.get(name) != value
            ]
            if differing:
                raise ValueError(
                    f"output_dir: {folder} was trained with other options ({'; '.join(differing)}); take another folder"
                )
            return done
        began = time.perf_counter()
        with added_callbacks(Curve()):
            train_lcrec.main(self._words(arm, folder, rate, epochs))
        report = read_json(folder / "training_report.json")
        curve = [
            [entry["epoch"], entry["tokens"], entry["seconds"], entry["eval_ndcg@10"], entry["eval_hit_rate@10"]]
            for entry in report["log"]
            if "eval_ndcg@10" in entry
        ]
        done = {**settings, "curve": curve, "validation": report["validation"], "train": report["train"]}
        done |= {"last_run_s": time.perf_counter() - began, **run_facts()}
        write_json(file, done)
        for checkpoint in checkpoints(folder):  # several times the size of the model
            shutil.rmtree(checkpoint)
        return done

    def run(self, arm: Arm) -> dict[str, Any]:
        """Train an arm, and rank the test users once."""
        rate, epochs = self.learning_rate(arm), arm.epochs or self.arguments.epochs
        folder = self.folder / "arms" / arm.name
        done = self._train(arm, folder, rate, epochs)
        if "test" not in done:
            done["test"] = self._test(arm, folder)
            write_json(folder / "arm.json", done)
        return done

    def _test(self, arm: Arm, folder: Path) -> dict[str, Any]:
        split = self.split(arm)
        cases = split.test if not self.arguments.test_users else split.test.sample(self.arguments.test_users, seed=0)
        gpu = torch.cuda.is_available()
        recommender = AutoRecommender.from_pretrained(folder, device="cuda" if gpu else "cpu")
        # In the precision of the evaluations during training.
        half = self.arguments.bf16 and arm.kind != "three_layer"
        with torch.autocast("cuda" if gpu else "cpu", torch.bfloat16) if half else nullcontext():
            result = evaluate_ranker(recommender, cases)
        save_file({"ranks": result.ranks, "user_rows": np.asarray(cases.user_rows)}, folder / "test_ranks.safetensors")
        masks = case_groups(self.dataset, split, cases).masks
        groups = {name: ranking_metrics(result.ranks[mask], 10) for name, mask in masks.items() if mask.any()}
        return {**result.metrics, "groups": groups, "seconds": result.seconds}

    def differences(self, arms: list[Arm]) -> dict[str, Any]:
        """Paired differences of arms, with 95 % intervals over test users.

        ``pretrained`` is compared with the other kinds of the same suffix, and with itself without other tasks and
        without a first stage for the index rows.
        """
        found: dict[str, Any] = {}
        for arm in arms:
            if (pair := arm.compared(self.arguments.layers)) is None:
                continue
            base, other = pair
            files = [self.folder / "arms" / each.name / "test_ranks.safetensors" for each in (other, base)]
            if not all(file.is_file() for file in files):
                continue
            (other_ranks, other_users), (ranks, users) = [
                (each["ranks"], each["user_rows"]) for each in map(load_file, files)
            ]
            if not np.array_equal(other_users, users):
                raise ValueError(f"{files[0]} and {files[1]} are ranks of different users (--test_users)")
            found[f"{base.name} - {other.name}"] = {
                metric: paired_bootstrap(*(metric_values(each, metric, 10) for each in (other_ranks, ranks))).to_dict()
                for metric in ("ndcg@10", "hit_rate@10")
            }
        return found

    def save(self, done: dict[str, dict[str, Any]], arms: list[Arm]) -> None:
        """Write the result so far, with its plot."""
        search = {f"{kind}_{layers}l": tried for (kind, layers), tried in self.rates.items()}
        facts = {"dataset": self.dataset.name, "model": Path(self.arguments.model).name, "bf16": self.arguments.bf16}
        differences = self.differences(arms)
        result = {"arms": done, "differences": differences, "learning_rate_search": search, **facts}
        write_json(self.folder / "pretraining.json", result)
        save_plot(done, self.folder)


def main() -> None:
    (arguments,) = HfArgumentParser((PretrainingArguments,)).parse_args_into_dataclasses()
    logging.basicConfig(level=logging.WARNING)
    experiment, done = Experiment(arguments), {}
    arms = arguments.planned()
    for arm in arms:
        done[arm.name] = experiment.run(arm)
        experiment.save(done, arms)
        test = done[arm.name]["test"]
        print(f"{arm.name}: test NDCG@10 {test['ndcg@10']:.4f}, HR@10 {test['hit_rate@10']:.4f}", flush=True)
    for pair, found in experiment.differences(arms).items():
        gain = found["ndcg@10"]
        print(f"{pair}: NDCG@10 {gain['difference']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]", flush=True)


if __name__ == "__main__":
    sys.exit(main())
