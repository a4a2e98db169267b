"""The demo Space of hf_llmrec; all of it lies in the package."""

from pathlib import Path

from hf_llmrec.space.app import main

if __name__ == "__main__":
    main(Path(__file__).parent)
