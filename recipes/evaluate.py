"""Full-ranking metrics of a saved model.

accelerate launch recipes/evaluate.py --model O --dataset D --split test --output F.json
"""

import sys

from hf_llmrec.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
