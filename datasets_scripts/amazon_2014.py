"""python datasets_scripts/amazon_2014.py --input PATH... --output_dir DIR; `--help` says which files."""

import sys

from hf_llmrec.cli.convert import main

if __name__ == "__main__":
    sys.exit(main(["amazon-2014", *sys.argv[1:]]))
