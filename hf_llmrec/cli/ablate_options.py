"""Options of ``ablate``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .list_options import json_object
from .options import DatasetArguments


@dataclass
class AblationArguments(DatasetArguments):
    """What is varied.

    Args:
        base: YAML file with the options of `train galrec` that all variants share.
        variants: per name the options that differ, as JSON or in the YAML file; the first is what others are compared
            with.
        seeds: each variant is trained with each.
        external_embeddings: for variants with collaborative embeddings; without it SASRec is trained once.
        text_embeddings: safetensors file of text embeddings.
        output_dir: folder for the models, ``ablation.json``, ``ablation.md`` and ``ablation.png``. Runs that are there
            already are not repeated, unless they were made from another ``base``, dataset or embedding file.
    """

    base: str = field(default=None, metadata={"help": "YAML file of options that all variants share"})
    variants: dict[str, Any] | str | None = field(
        default_factory=dict, metadata={"help": "per name the options that differ; the first is compared with"}
    )
    seeds: list[int] = field(default_factory=lambda: [0], metadata={"help": "each variant is trained with each"})
    external_embeddings: str | None = field(default=None, metadata={"help": "of a classical recommender"})
    text_embeddings: str | None = field(default=None, metadata={"help": "safetensors file of text embeddings"})
    output_dir: str = field(default=None, metadata={"help": "folder for the models, the table and the plot"})

    def __post_init__(self):
        self.variants = json_object("variants", self.variants)
        if not self.base or not self.output_dir:
            raise ValueError("--base and --output_dir are required")
        if not self.variants or not all(isinstance(changes, dict) for changes in self.variants.values()):
            raise ValueError("--variants must give, per name, the options that differ")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"--seeds must be different numbers, got {self.seeds}")
