"""Train SASRec or LightGCN, or fit nearest neighbours or popularity, on the same data as the LLM recommenders.

accelerate launch recipes/train_baseline.py --model sasrec|lightgcn|knn|popularity --dataset D --output_dir O
"""

import sys

from hf_llmrec.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "baseline", *sys.argv[1:]]))
