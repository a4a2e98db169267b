"""Checks a folder with a pretrained language model before transformers reads it."""

from __future__ import annotations

import os
from pathlib import Path

# Vocabulary files of tokenizers, and code of custom tokenizers.
_TOKENIZER_FILES = ("tokenizer*", "tokenization*.py", "vocab*", "*.model", "*.tiktoken", "tekken.json")


def check_tokenizer_files(name: str | os.PathLike, option: str) -> None:
    """Refuse a local folder without a tokenizer. Hub ids are not checked.

    Without tokenizer files, transformers creates an empty tokenizer for some architectures and asks for sentencepiece
    for others.

    Args:
        name: folder or Hub id.
        option: command-line option that the message names.

    Raises:
        ValueError: the folder holds no tokenizer. The message says what it holds and what to do.
    """
    folder = Path(name)
    if not folder.is_dir() or any(path for pattern in _TOKENIZER_FILES for path in folder.glob(pattern)):
        return
    files = sorted(path.name for path in folder.iterdir() if path.is_file())
    contents = ", ".join(files[:5]) + (", ..." if len(files) > 5 else "") if files else "no file"
    advice = "save the model's tokenizer there, too: AutoTokenizer.from_pretrained(BASE).save_pretrained(FOLDER)"
    if any(file.endswith(".gguf") for file in files):
        advice = (
            "GGUF files are not trained: give the Hub id, or a folder, of the same model in safetensors, or write such "
            "a folder from the file with hf_llmrec.save_gguf_as_folder"
        )
    raise ValueError(f"{option} {name}: the folder holds no tokenizer (tokenizer.json), but {contents}; {advice}")
