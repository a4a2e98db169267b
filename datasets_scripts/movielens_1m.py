"""python datasets_scripts/movielens_1m.py --input PATH... --output_dir DIR; `--help` says which files."""

import sys

from hf_llmrec.cli.convert import main

if __name__ == "__main__":
    sys.exit(main(["movielens-1m", *sys.argv[1:]]))
