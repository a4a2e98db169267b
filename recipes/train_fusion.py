"""Combine saved recommenders of any methods into a weighted ensemble, with weights tuned on validation users.

accelerate launch recipes/train_fusion.py --parts SASREC GALREC LCREC --dataset D --output_dir O
"""

import sys

from hf_llmrec.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "fusion", *sys.argv[1:]]))
