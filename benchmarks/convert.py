"""Time and memory of a conversion: generated reviews in the format of Amazon 2018 -> a dataset folder.

python benchmarks/convert.py --reviews 10000000 --output results/benchmarks/convert.json
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hf_llmrec.cli.results import run_facts
from hf_llmrec.data.files import write_json

WORDS = "this gift card was great and arrived quickly my friend liked it very much would buy again thank you".split()


def generate(folder: Path, reviews: int, users: int, items: int) -> dict[str, int]:
    """Raw files, gzipped as the publisher does; user and item popularity are skewed."""
    rng = np.random.default_rng(0)
    with gzip.open(folder / "Generated.json.gz", "wt", compresslevel=1) as file:
        for start in range(0, reviews, 100_000):
            count = min(100_000, reviews - start)
            who = (users * rng.random(count) ** 2).astype(int)
            what = (items * rng.random(count) ** 3).astype(int)
            when = rng.integers(1_000_000_000, 1_540_000_000, count)
            length = rng.integers(5, 80, count)
            for user, item, time_, words in zip(who, what, when, length, strict=True):
                text = " ".join(WORDS[(user + place) % len(WORDS)] for place in range(words))
                row = {"overall": 5.0, "verified": True, "reviewTime": "06 17, 2018", "reviewerID": f"A{user:013d}"}
                row |= {"asin": f"B{item:09d}", "style": {"Format:": " Paper"}, "reviewText": text}
                file.write(json.dumps(row | {"summary": "Five Stars", "unixReviewTime": int(time_)}) + "\n")
    with gzip.open(folder / "meta_Generated.json.gz", "wt", compresslevel=1) as file:
        for item in range(items):
            row = {"category": ["Gift Cards"], "description": [" ".join(WORDS)], "title": f"Item {item}", "feature": []}
            file.write(json.dumps(row | {"brand": "Some", "asin": f"B{item:09d}", "also_buy": []}) + "\n")
    return {"bytes_compressed": sum(path.stat().st_size for path in folder.iterdir())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reviews", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=None, help="default: a fifth of the reviews")
    parser.add_argument("--items", type=int, default=None, help="default: a fiftieth of the reviews")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    users, items = arguments.users or arguments.reviews // 5, arguments.items or arguments.reviews // 50
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        raw.mkdir()
        facts = generate(raw, arguments.reviews, users, items)
        # A process of its own: memory is the converter's, not the generator's.
        words = ["amazon-2018", "--input", str(raw), "--output_dir", str(Path(folder) / "data")]
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "hf_llmrec.cli.convert", *words], check=True, capture_output=True)
        seconds = time.perf_counter() - began
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(done.stdout.decode())
    found = {"reviews": arguments.reviews, "users": users, "items": items, **facts}
    found |= {
        "duration_s": round(seconds, 1),
        "peak_memory_gb": round(memory / 1e9, 2),
        **run_facts(),
    }
    print(json.dumps(found, indent=2))
    if arguments.output:
        write_json(arguments.output, found)


if __name__ == "__main__":
    main()
