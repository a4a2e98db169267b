"""The graph at scale: construction, sampling of two hops, most-shared-first; times and peak memory.

    python benchmarks/graph.py --output results/benchmarks/graph.json

One million users, 200,000 items and 20 million interactions by default, drawn with a popularity skew.
"""

from __future__ import annotations

import resource
import statistics
import time
from dataclasses import asdict, dataclass, field

import numpy as np
from transformers import HfArgumentParser

from hf_llmrec.cli.results import run_facts
from hf_llmrec.data.files import write_json
from hf_llmrec.data.graph import InteractionGraph


@dataclass
class BenchmarkArguments:
    """The size of everything.

    Args:
        users, items, interactions: of the graph.
        nodes, fan_out_items, fan_out_users: of one sample of two hops.
        shared_users: users whose most-shared-first neighbours are counted.
        repeats: samples that are timed.
        output: JSON file.
    """

    users: int = 1_000_000
    items: int = 200_000
    interactions: int = 20_000_000
    nodes: int = 1024
    fan_out_items: int = 20
    fan_out_users: int = 10
    shared_users: int = 20_000
    repeats: int = 20
    output: str | None = field(default=None)


def peak_gib() -> float:
    """Most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    (arguments,) = HfArgumentParser((BenchmarkArguments,)).parse_args_into_dataclasses()
    rng = np.random.default_rng(0)
    users = rng.integers(arguments.users, size=arguments.interactions, dtype=np.int32)
    # The square of a uniform number: the first tenth of the items has a third of the interactions.
    items = (rng.random(arguments.interactions, dtype=np.float32) ** 2 * arguments.items).astype(np.int32)
    items = np.minimum(items, arguments.items - 1)
    before = peak_gib()
    began = time.perf_counter()
    graph = InteractionGraph.from_arrays(users, items, arguments.users, arguments.items)
    found = {"build_s": time.perf_counter() - began, "build_peak_gib": peak_gib(), "inputs_gib": before}
    seconds = []
    fan_outs = (arguments.fan_out_items, arguments.fan_out_users)
    for repeat in range(arguments.repeats):
        nodes = rng.integers(arguments.users, size=arguments.nodes)
        began = time.perf_counter()
        graph.sample_hops("user", nodes, fan_outs, seed=repeat)
        seconds.append(time.perf_counter() - began)
    found["sample_two_hops_ms"] = 1000 * statistics.median(seconds)
    began = time.perf_counter()
    graph.most_shared("user", 10, nodes=rng.integers(arguments.users, size=arguments.shared_users))
    found["most_shared_s"] = time.perf_counter() - began
    found["most_shared_peak_gib"] = peak_gib()
    for name, value in found.items():
        print(f"{name:<24}{value:10.2f}")
    if arguments.output:
        write_json(arguments.output, {"arguments": asdict(arguments), **found, **run_facts()})


if __name__ == "__main__":
    main()
