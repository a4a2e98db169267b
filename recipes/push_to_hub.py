"""Publish a saved recommender with its model card, results and plots.

python recipes/push_to_hub.py --model O --repo_id owner/name [--result F.json] [--comparison C/comparison.json]
"""

import sys

from hf_llmrec.cli import main

if __name__ == "__main__":
    sys.exit(main(["push", *sys.argv[1:]]))
