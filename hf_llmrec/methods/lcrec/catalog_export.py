"""Exports the catalogue of a saved LC-Rec in the formats that other inference engines read."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...data.files import read_json, staged, write_text
from ...data.recommender_folder import load_settings, resolve_file
from ...generation.item_trie import ItemTrie
from ...generation.static_index import StaticIndex
from .building import decoding_settings
from .prompt import LCRecPrompt
from .tokenization_lcrec import LCRecTokenizer

FORMATS = ("flashrec", "static", "json")
ITEMS_FILE, STATIC_FILE = "items.json", "static_index.safetensors"


@dataclass(frozen=True)
class CatalogExport:
    """What `export_catalog` wrote.

    Args:
        files: paths of the files.
        num_items: number of items in them.
        launch: shell command that starts the engine with the catalogue; ``None``: it has no command.
        notes: what the engine does otherwise than this package, or cannot do with this model.
    """

    files: list[Path]
    num_items: int
    launch: str | None
    notes: list[str]


def export_catalog(
    model: str | os.PathLike, output: str | os.PathLike, *, to: str = "json", **hub_options: Any
) -> CatalogExport:
    """Write the item ids and index tokens of a saved LC-Rec for another engine. The weights are not read.

    Args:
        model: recommender folder or Hub id.
        output: file to write; with ``to="static"`` a folder. It must not exist, unless it is an empty folder.
        to: ``flashrec`` (the JSON of ``flashrec --sid-vocab-file``), ``static`` (the arrays of Google's STATIC, and the
            items as JSON) or ``json`` (the items alone); see docs/serving.md.
        hub_options: options of ``from_pretrained`` such as ``revision``.

    Raises:
        FileExistsError: ``output`` exists.
        FileNotFoundError: not a recommender, or one without an item index.
        ValueError: a recommender of another method, an unknown format, items that share an index, or tokens that the
            format cannot express. The message names the model or the output.

    Example:
        ```python
        export_catalog("outputs/lcrec", "catalog.json", to="flashrec").launch
        ```
    """
    output = Path(output)
    if to not in FORMATS:
        raise ValueError(f"to must be one of {', '.join(FORMATS)}, got {to!r}")
    if output.exists() and not (to == "static" and output.is_dir() and not any(output.iterdir())):
        raise FileExistsError(f"output {output} exists: choose another name, or delete it")
    if to == "flashrec" and output.suffix != ".json":
        raise ValueError(f"output {output} must end in .json: FlashRec reads files of other names differently")
    settings = load_settings(model, **hub_options)
    if settings["method"] != "lcrec":
        raise ValueError(f"{model}: a recommender of {settings['method']!r} has no item index; LC-Rec has one")
    tokenizer = LCRecTokenizer.from_pretrained(model, **hub_options)
    config = read_json(resolve_file(model, "config.json", **hub_options))
    try:
        ItemTrie.from_codes(tokenizer.item_token_ids)  # refuses items that share an index
        if to == "flashrec":
            launch, notes = _flashrec_launch(str(model), output, tokenizer, settings, config)
            write_text(output, _one_per_line("{", _flashrec_entries(tokenizer), "}"))
            return CatalogExport([output], tokenizer.item_index.num_items, launch, notes)
        if to == "static":
            arrays = StaticIndex.from_token_ids(tokenizer.item_token_ids, config["vocab_size"])
            with staged(output) as folder:
                arrays.save(folder / STATIC_FILE)
                write_text(folder / ITEMS_FILE, _items_json(tokenizer, config["vocab_size"]))
            files = [output / STATIC_FILE, output / ITEMS_FILE]
            return CatalogExport(files, tokenizer.item_index.num_items, None, [])
        write_text(output, _items_json(tokenizer, config["vocab_size"]))
        return CatalogExport([output], tokenizer.item_index.num_items, None, [])
    except ValueError as error:
        raise ValueError(f"{model}: {error}") from error


def _one_per_line(begin: str, entries: Iterable[str], end: str) -> str:
    return f"{begin}\n" + ",\n".join(entries) + f"\n{end}\n"


def _items_json(tokenizer: LCRecTokenizer, vocab_size: int) -> str:
    index = tokenizer.item_index
    head = {
        "format": "hf_llmrec item catalogue",
        "version": 1,
        "levels": index.levels,
        "vocab_size": vocab_size,
        "catalog_fingerprint": index.fingerprint,
        "num_items": index.num_items,
    }
    items = (
        json.dumps({"item_id": item, "tokens": index.item_tokens(row), "token_ids": ids}, ensure_ascii=False)
        for row, (item, ids) in enumerate(zip(index.item_ids, tokenizer.item_token_ids.tolist(), strict=True))
    )
    return _one_per_line(f'{json.dumps(head)[:-1]}, "items": [', items, "]}")


def _flashrec_entries(tokenizer: LCRecTokenizer) -> Iterable[str]:
    """``"12,7,201": "item id"``: FlashRec reads the keys alone."""
    index = tokenizer.item_index
    for item, codes in zip(index.item_ids, index.codes.tolist(), strict=True):
        yield f"{json.dumps(','.join(map(str, codes)))}: {json.dumps(item, ensure_ascii=False)}"


def _flashrec_launch(
    model: str, output: Path, tokenizer: LCRecTokenizer, settings: Mapping[str, Any], config: Mapping[str, Any]
) -> tuple[str, list[str]]:
    """The command that serves the model with its catalogue, and what to know about it."""
    ids = np.concatenate(tokenizer.level_token_ids)
    if not np.array_equal(ids, np.arange(ids[0], ids[0] + len(ids))):
        raise ValueError("FlashRec computes token ids from codes; here they do not follow each other level by level")
    sizes = tokenizer.item_index.codebook_sizes
    words = ["flashrec", "--serve", "--model-path", model, "--sid-vocab-file", str(output)]
    words += ["--sid-token-range", f"{ids[0]}:{ids[-1]}", "--sid-codebook-sizes", ",".join(map(str, sizes))]
    # Without this empty option FlashRec puts tokens of its own before each item and after it.
    words += ["--sid-boundary-tokens", ""]
    words += ["--max-tokens", str(len(sizes)), "--beam-width", str(decoding_settings(settings)["num_beams"])]
    words += ["--length-penalty", "0", "--quantization", "none"]
    notes = []
    if config.get("model_type") != "qwen3":
        notes.append(f"FlashRec loads Qwen3 only; this model is {config.get('model_type')!r}")
    prompt = LCRecPrompt.from_dict(settings["prompt"])
    if not (prompt.chat and prompt.form == "prefix"):
        notes.append(
            "FlashRec's server asks in the chat template, which this model was not trained with: give token ids of "
            "LCRecPrompt.encode_history to its Python API (docs/serving.md)"
        )
    if not Path(model).is_dir():
        notes.append(f"FlashRec reads a folder: hf download {model} --local-dir FOLDER")
    return shlex.join(words), notes
