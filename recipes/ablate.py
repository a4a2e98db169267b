"""Train GAL-Rec with one thing changed at a time, and compare.

accelerate launch recipes/ablate.py --config recipes/configs/galrec/demo_ablation.yaml --dataset demo --output_dir O
"""

import sys

from hf_llmrec.cli import main

if __name__ == "__main__":
    sys.exit(main(["ablate", *sys.argv[1:]]))
