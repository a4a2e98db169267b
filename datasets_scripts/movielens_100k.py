"""python datasets_scripts/movielens_100k.py --input PATH... --output_dir DIR; `--help` says which files."""

import sys

from hf_llmrec.cli.convert import main

if __name__ == "__main__":
    sys.exit(main(["movielens-100k", *sys.argv[1:]]))
