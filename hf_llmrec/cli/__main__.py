import sys

from hf_llmrec.cli import main

if __name__ == "__main__":
    sys.exit(main())
