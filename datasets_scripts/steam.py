"""python datasets_scripts/steam.py --input PATH... --output_dir DIR; `--help` says which files."""

import sys

from hf_llmrec.cli.convert import main

if __name__ == "__main__":
    sys.exit(main(["steam", *sys.argv[1:]]))
