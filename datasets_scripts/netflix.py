"""python datasets_scripts/netflix.py --input PATH... --output_dir DIR; `--help` says which files."""

import sys

from hf_llmrec.cli.convert import main

if __name__ == "__main__":
    sys.exit(main(["netflix", *sys.argv[1:]]))
