"""What GAL-Rec's graph-aware losses cost: a training step with and without them, part by part, side by side.

python benchmarks/galrec_step.py [--output results/benchmarks/galrec_step.json]

Two parts. *Measured*: steps of a small backbone on synthetic data of Amazon Beauty's size, without the graph-aware
losses, with them, and with all edges of every user (``edges_per_user``). *Counted*: at the shapes of a 0.6B-parameter
backbone with LoRA, the momentum copy's numbers against the parameters', and the queue's measured part against the
backbone's counted operations at the speed that this machine multiplies matrices.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from hf_llmrec.cli.results import run_facts
from hf_llmrec.data.files import write_json
from hf_llmrec.data.graph import InteractionGraph
from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.data.recommender_folder import ItemCatalog
from hf_llmrec.losses import MomentumQueue, info_nce, matches
from hf_llmrec.methods.galrec.adapters import with_own_layers
from hf_llmrec.methods.galrec.collator import GALRecCollator
from hf_llmrec.methods.galrec.losses import ALIGNMENTS
from hf_llmrec.methods.galrec.modeling_galrec import GALRecForCausalLM
from hf_llmrec.methods.galrec.prompt import GALRecLayout, GALRecPrompt
from hf_llmrec.methods.galrec.recommender import GALRecRecommender
from hf_llmrec.methods.galrec.rows import GALRecDataset
from hf_llmrec.methods.galrec.trainer import GALRecTrainer
from hf_llmrec.methods.galrec.trainer_config import GALRecTrainingConfig
from hf_llmrec.training.backbones import build_backbone
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer

USERS, ITEMS, MEAN_LENGTH = 22_000, 12_000, 9
QWEN3_0_6B = {
    "vocab_size": 151_936,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "tie_word_embeddings": True,
}


def synthetic(seed: int = 0) -> RecDataset:
    """Random interactions, items by a power law, histories of 5 to about 40."""
    rng = np.random.default_rng(seed)
    lengths = 5 + rng.geometric(1 / (MEAN_LENGTH - 4), size=USERS).clip(max=40)
    weights = 1 / np.arange(1, ITEMS + 1) ** 0.6
    items = rng.choice(ITEMS, size=lengths.sum(), p=weights / weights.sum())
    users = np.repeat(np.arange(USERS), lengths)
    positions = np.arange(len(users)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return RecDataset.from_datasets(
        {
            "user_id": [f"u{user}" for user in users],
            "item_id": [f"i{item}" for item in items],
            "position": positions.tolist(),
        },
        {"item_id": [f"i{item}" for item in range(ITEMS)], "title": [f"item {item}" for item in range(ITEMS)]},
        name="synthetic",
    )


class Parts:
    """Seconds spent in calls that were wrapped."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    def watch(self, owner, method: str, name: str) -> None:
        original = getattr(owner, method)

        def timed(*args, **kwargs):
            began = time.perf_counter()
            result = original(*args, **kwargs)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
            return result

        setattr(owner, method, timed)


def trainer_for(dataset: RecDataset, weight: float, edges: int, folder: str, batch_size: int) -> GALRecTrainer:
    split = dataset.split()
    graph = InteractionGraph.from_split(split, dataset.num_items)
    args = GALRecTrainingConfig(
        output_dir=folder,
        per_device_train_batch_size=batch_size,
        loss_weights=dict.fromkeys(ALIGNMENTS, weight),
        max_length=96,
        learning_rate=1e-3,
        num_train_epochs=1,
        residual_dropout=0.3,
        report_to="none",
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
        # 0 losses need their own rows: nothing is built or computed that is not used.
    )
    torch.manual_seed(0)
    tokenizer = train_corpus_tokenizer(dataset.titles[:500], vocab_size=1000)
    backbone = build_backbone("tiny", tokenizer, overrides={"num_hidden_layers": 2, "intermediate_size": 256})
    sizes = {"text": 384, "collaborative": 128}
    model = GALRecForCausalLM.from_backbone(
        backbone, num_items=dataset.num_items, external_sizes=sizes, rec_loss="sampled_softmax", embedding_dropout=0.3
    )
    model.model.set_item_vectors({kind: torch.randn(dataset.num_items, size) for kind, size in sizes.items()})
    prompt = GALRecPrompt(template="bare", title_hops=(), num_neighbors=6, max_length=96)
    recommender = GALRecRecommender(
        model, GALRecLayout(prompt, model.config), ItemCatalog.of_dataset(dataset), tokenizer=tokenizer
    )
    pairs = {"audience_size": args.audience_size, "edges_per_user": edges}
    rows = GALRecDataset(split, graph, recommender.layout, pairs=weight > 0, item_dropout=0.2, **pairs)
    return GALRecTrainer(recommender, args, train_dataset=rows)


def batches_of(trainer: GALRecTrainer, count: int, parts: Parts) -> list:
    """Batches as training would see them, with the time of building them."""
    rows, size = trainer.train_dataset, trainer.args.per_device_train_batch_size
    order = np.argsort(rows.lengths(0), kind="stable")
    starts = np.linspace(0, len(order) - size, count).astype(int)
    began = time.perf_counter()
    found = [GALRecCollator()([rows.build(int(slot), 0) for slot in order[start : start + size]]) for start in starts]
    parts.seconds["building the batch"] = time.perf_counter() - began
    return found


def measure_steps(
    dataset: RecDataset, weight: float, edges: int, batch_size: int, steps: int
) -> tuple[list[float], dict]:
    """(seconds of each step with its batch's building, mean seconds per part)."""
    with tempfile.TemporaryDirectory() as folder:
        trainer, parts = trainer_for(dataset, weight, edges, folder, batch_size), Parts()
        model = trainer.model.train()
        trainer.current_gradient_accumulation_steps = 1
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        if weight:
            parts.watch(trainer, "_read_segments", "segments, forward")
            parts.watch(trainer, "_keys", "keys of the momentum encoder")
            parts.watch(trainer.alignment, "forward", "losses and queue")
            parts.watch(trainer.momentum_encoder, "update", "momentum update")
        batches = batches_of(trainer, steps + 2, parts)
        building = parts.seconds.pop("building the batch") / len(batches)
        seconds = []
        for number, batch in enumerate(batches):
            if number == 2:
                parts.seconds = {}
            began = time.perf_counter()
            loss = trainer.compute_loss(model, batch)
            forward = time.perf_counter()
            loss.backward()
            backward = time.perf_counter()
            optimizer.step()
            optimizer.zero_grad()
            stepped = time.perf_counter()
            if weight:
                trainer.momentum_encoder.update()
            if number >= 2:
                seconds.append(time.perf_counter() - began + building)
                for name, spent in (
                    ("all forward", forward - began),
                    ("backward", backward - forward),
                    ("optimizer", stepped - backward),
                ):
                    parts.seconds[name] = parts.seconds.get(name, 0.0) + spent
        found = {name: value / steps for name, value in parts.seconds.items()}
        inner = sum(
            found.get(name, 0.0) for name in list(found) if name not in ("all forward", "backward", "optimizer")
        )
        found["L_rec and read-outs, forward"] = found.pop("all forward") - inner + found.get("momentum update", 0.0)
        return seconds, {"building the batch": building, **found}


def count_lora(num_items: int = 12_101) -> dict[str, float]:
    """Numbers of a 0.6B backbone with LoRA and its momentum copy, counted without memory."""
    with torch.device("meta"):
        backbone = AutoModelForCausalLM.from_config(AutoConfig.for_model("qwen3", **QWEN3_0_6B))
        sizes = {"text": 384, "collaborative": 128}
        model = GALRecForCausalLM.from_backbone(backbone, num_items=num_items, external_sizes=sizes)
        adapted = get_peft_model(model, with_own_layers(LoraConfig(r=16), model))
    total = sum(p.numel() for p in adapted.parameters())
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    return {
        "backbone_parameters": sum(p.numel() for p in backbone.parameters()),
        "parameters": total,
        "momentum_copy": trained,
        "momentum_share": trained / total,
        # The averages are float32: beside a backbone in half precision they weigh twice as much.
        "momentum_share_of_bytes_half_precision": 4 * trained / (2 * (total - trained) + 4 * trained),
    }


def queue_seconds(length: int, pairs: int, dim: int = 128, repeats: int = 15) -> float:
    """Median seconds of everything that depends on the queue's length, in one step: eight queries in four losses."""
    queue, seconds = MomentumQueue(length, dim), []
    queue.enqueue(torch.randn(length, dim), torch.randint(12_101, (length,)))
    for _ in range(repeats):
        queries = torch.randn(pairs, dim, requires_grad=True)
        keys, known = torch.randn(pairs, dim), torch.randint(12_101, (pairs, 64))
        began = time.perf_counter()
        for _ in range(8):
            negatives, ids = queue.entries
            info_nce(queries, keys, negatives, temperature=0.1, excluded=matches(ids, known)).loss.backward()
        for _ in range(5):
            queue.enqueue(keys, torch.randint(12_101, (pairs,)))
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def matmul_rate() -> float:
    """Multiply-adds per second times two, of a float32 matrix product of the backbone's shapes."""
    first, second = torch.randn(2048, 1024), torch.randn(1024, 3072)
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        first @ second
        seconds.append(time.perf_counter() - began)
    return 2 * 2048 * 1024 * 3072 / statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--output")
    arguments = parser.parse_args()
    dataset = synthetic()
    report = {}
    runs = {
        "without": ("without graph-aware losses", 0.0, 1),
        "with": ("with graph-aware losses", 0.03, 1),
        "with_all_edges": ("with them, all edges", 0.03, 50),
    }
    for name, (words, weight, edges) in runs.items():
        seconds, parts = measure_steps(dataset, weight, edges, arguments.batch_size, arguments.steps)
        report[name] = {"step_s": statistics.median(seconds), "parts_s": parts}
        print(f"{words}: {report[name]['step_s'] * 1000:.0f} ms per step of {arguments.batch_size}")
        for part, spent in parts.items():
            print(f"    {part:<32}{spent * 1000:8.1f} ms {spent / sum(parts.values()):7.1%}")
    for name, found in (("ratio", "with"), ("ratio_all_edges", "with_all_edges")):
        report[name] = report[found]["step_s"] / report["without"]["step_s"]
    print(
        f"a step with them takes {report['ratio']:.2f} times the step without, "
        f"with all edges {report['ratio_all_edges']:.2f} times"
    )
    lora = count_lora()
    half = lora["momentum_share_of_bytes_half_precision"]
    print(f"0.6B with LoRA: the momentum copy adds {lora['momentum_share']:.2%} to the parameters' memory in float32,")
    print(f"    {half:.2%} beside a frozen backbone in half precision")
    pairs, tokens = 32, 32 * 160  # sequences of a step, tokens of their prompts and segments
    operations = 2 * 4 * lora["backbone_parameters"] * tokens  # forward, backward of activations, keys: 4 passes
    backbone_s = operations / matmul_rate()
    queue = {length: queue_seconds(length, pairs) for length in (4096, 65_536)}
    change = (queue[65_536] - queue[4096]) / (backbone_s + queue[4096])
    print(f"queue 4,096: {queue[4096] * 1000:.1f} ms, 65,536: {queue[65_536] * 1000:.1f} ms (measured)")
    print(
        f"the backbone's part of such a step: {backbone_s:.1f} s (counted): the longer queue changes it by {change:.2%}"
    )
    report["lora_0_6b"] = {
        **lora,
        "step_sequences": pairs,
        "step_tokens": tokens,
        "backbone_counted_s": backbone_s,
        "queue_measured_s": {str(length): seconds for length, seconds in queue.items()},
        "step_change_65536": change,
    }
    report |= run_facts()
    if arguments.output:
        write_json(Path(arguments.output), report)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
