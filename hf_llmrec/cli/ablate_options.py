"""Options of ``ablate``."""

from __future__ import annotations

from dataclasses import dataclass, field

from .json_options import JsonObject, json_object
from .options import DatasetArguments


@dataclass
class AblationArguments(DatasetArguments):
    """Which variants of GAL-Rec to train, and with what. The other parameters are those of [`DatasetArguments`].

    Args:
        base: YAML file with the options of `train galrec` that all variants share. Required.
        variants: by name, the options of `train galrec` in which a variant differs from ``base``, as JSON or as a
            mapping in the YAML file. The others are compared with the first one. Required.
        seeds: seeds of training; each variant is trained with each of them.
        external_embeddings: safetensors file with ``item_embeddings`` of a collaborative model, for variants that use
            them; default: SASRec is trained once.
        text_embeddings: safetensors file with ``item_embeddings`` of the items' texts, for variants that use them;
            default: as in `train galrec`.
        output_dir: folder for the models, ``ablation.json``, ``ablation.md`` and ``ablation.png``. Runs that it already
            holds are not repeated, unless they were made from another ``base``, dataset or embedding file. Required.
    """

    base: str = field(default="", metadata={"help": "YAML file of options that all variants share"})
    variants: JsonObject = field(
        default_factory=dict, metadata={"help": "by name, the options that differ; the first variant is the reference"}
    )
    seeds: list[int] = field(default_factory=lambda: [0], metadata={"help": "each variant is trained with each seed"})
    external_embeddings: str | None = field(
        default=None, metadata={"help": "safetensors file of a classical recommender"}
    )
    text_embeddings: str | None = field(default=None, metadata={"help": "safetensors file of text embeddings"})
    output_dir: str = field(default="", metadata={"help": "folder for the models, the table and the plot"})

    def __post_init__(self):
        self.variants = json_object("variants", self.variants)
        if not self.base or not self.output_dir:
            raise ValueError("--base and --output_dir are required")
        if not self.variants or not all(isinstance(changes, dict) for changes in self.variants.values()):
            raise ValueError("--variants must give, per name, the options that differ")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"--seeds must be different numbers, got {self.seeds}")
