"""Write the language model of a GGUF file as a model folder that the training commands read.

    python benchmarks/gguf_to_folder.py --gguf_file SmolLM2-135M-Instruct.Q4_1.gguf --output_dir models/SmolLM2

For machines on which a model is at hand as a GGUF file only. Its weights are rounded (here to 4 bits) and stay so: take
the Hub's safetensors where they can be had. Needs the package gguf.
"""

from __future__ import annotations

import argparse

import torch

from hf_llmrec.training.gguf_folder import save_gguf_as_folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gguf_file", required=True)
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    options = parser.parse_args()
    print(save_gguf_as_folder(options.gguf_file, options.output_dir, getattr(torch, options.dtype)))


if __name__ == "__main__":
    main()
