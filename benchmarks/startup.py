"""What `import hf_llmrec` adds to a process that has imported torch and transformers; seconds, of fresh processes.

    python benchmarks/startup.py --output results/benchmarks/startup.json

Each process imports torch and transformers' `AutoModel`, `PreTrainedModel` and `pipeline` first, and then this package,
which registers its models, tokenizer and pipeline. Wall time depends on what else the machine does; CPU time less so.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, field

from transformers import HfArgumentParser

from hf_llmrec.cli.results import run_facts
from hf_llmrec.data.files import write_json

PROCESS = """
import json, sys, time
clocks = lambda: (time.perf_counter(), time.process_time())
begin = clocks()
import torch
from transformers import AutoModel, PreTrainedModel, pipeline
base, known = clocks(), set(sys.modules)
import hf_llmrec
end = clocks()
names = ("base_wall_s", "base_cpu_s", "added_wall_s", "added_cpu_s")
spans = [base[0] - begin[0], base[1] - begin[1], end[0] - base[0], end[1] - base[1]]
print(json.dumps({**dict(zip(names, spans)), "added_modules": len(set(sys.modules) - known)}))
"""


@dataclass
class BenchmarkArguments:
    """How often, and where to write.

    Args:
        repeats: processes that are measured, after one that is not.
        output: JSON file.
    """

    repeats: int = 7
    output: str | None = field(default=None)


def measure() -> dict[str, float]:
    """One fresh process: seconds of wall and CPU time of both imports, and how many modules the second one adds."""
    done = subprocess.run([sys.executable, "-c", PROCESS], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    (arguments,) = HfArgumentParser((BenchmarkArguments,)).parse_args_into_dataclasses()
    measure()  # brings the files into memory
    runs = [measure() for _ in range(arguments.repeats)]
    found = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    found |= {f"{name}_least": min(run[name] for run in runs) for name in ("base_wall_s", "added_wall_s")}
    for name, value in found.items():
        print(f"{name:<20}{value:8.3f}")
    if arguments.output:
        write_json(arguments.output, {"arguments": asdict(arguments), **found, **run_facts()})


if __name__ == "__main__":
    main()
