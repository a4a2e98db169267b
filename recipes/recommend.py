"""Recommendations of a saved model for a table of histories, as Parquet parts.

accelerate launch recipes/recommend.py MODEL --input histories.parquet --output recs --top_k 50
"""

import sys

from hf_llmrec.cli import main

if __name__ == "__main__":
    sys.exit(main(["recommend", *sys.argv[1:]]))
