"""Train a language model on users, items and their neighbourhoods (GAL-Rec).

accelerate launch recipes/train_galrec.py --dataset D --output_dir O [--external_embeddings F.safetensors]
"""

import sys

from hf_llmrec.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "galrec", *sys.argv[1:]]))
