"""Search for the training options that are best on validation users, within a budget.

python recipes/tune.py sasrec --dataset D --output_dir O --budget 2h
"""

import sys

from hf_llmrec.cli import main

if __name__ == "__main__":
    sys.exit(main(["tune", *sys.argv[1:]]))
