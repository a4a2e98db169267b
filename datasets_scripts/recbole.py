"""python datasets_scripts/recbole.py --input PATH... --output_dir DIR; `--help` says which files."""

import sys

from hf_llmrec.cli.convert import main

if __name__ == "__main__":
    sys.exit(main(["recbole", *sys.argv[1:]]))
