"""Alignment-tune a language model on item indices (LC-Rec).

accelerate launch recipes/train_lcrec.py --dataset D --index I --output_dir O [--config FILE.yaml]
"""

import sys

from hf_llmrec.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "lcrec", *sys.argv[1:]]))
