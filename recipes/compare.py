"""Compare models on the same users: one table with paired-bootstrap intervals, and the verdict in words.

accelerate launch recipes/compare.py --models A B C --dataset D --output DIR
"""

import sys

from hf_llmrec.cli import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
