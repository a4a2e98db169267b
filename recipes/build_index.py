"""Item texts or embeddings -> discrete item indices.

accelerate launch recipes/build_index.py --dataset D --output_dir I
"""

import sys

from hf_llmrec.cli import main

if __name__ == "__main__":
    sys.exit(main(["build-index", *sys.argv[1:]]))
