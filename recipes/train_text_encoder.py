"""Train a retriever of item texts: an adaptor of frozen text vectors, or a fine-tuned sentence-transformers model.

accelerate launch recipes/train_text_encoder.py --dataset D --output_dir O [--text_encoder M] [--finetune lora|full]
"""

import sys

from hf_llmrec.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "text_encoder", *sys.argv[1:]]))
