"""Intentions and preferences from reviews, written by a language model.

python recipes/annotate.py --dataset D --model M [--base_url URL | --local] [--output_dir O]
"""

import sys

from hf_llmrec.cli import main

if __name__ == "__main__":
    sys.exit(main(["annotate", *sys.argv[1:]]))
