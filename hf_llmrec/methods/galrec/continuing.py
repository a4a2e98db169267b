"""Training a saved GAL-Rec further: what stays as it is, what may change, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AutoConfig, PreTrainedModel
from transformers.utils import CONFIG_NAME

from ...data.interactions import RecDataset
from ...data.recommender_folder import ItemCatalog, load_settings
from ...training.backbones import BACKBONES
from .configuration_galrec import GALRecConfig
from .modeling_galrec import GALRecForCausalLM
from .prompt import GALRecPrompt

# Fields of the configuration that matter in training only: no weight depends on them.
ADJUSTABLE = ("external_dropout", "embedding_dropout", "rec_dropout", "rec_weight", "rec_loss", "num_negatives")
# Cosine above which two vectors count as equal: saved vectors may be in half precision.
_SAME_DIRECTION = 0.999


@dataclass(frozen=True)
class SavedGALRec:
    """A saved GAL-Rec from which training goes on: mapping layers, item vectors and heads stay as learned.

    Args:
        name: its folder or Hub id.
        config: its configuration.
        prompt: what it reads.
        item_ids: its catalogue, by row.
    """

    name: str
    config: GALRecConfig
    prompt: GALRecPrompt
    item_ids: list[str]

    @classmethod
    def find(
        cls, backbone: str | os.PathLike | PreTrainedModel, *, trust_remote_code: bool = False, **source: Any
    ) -> SavedGALRec | None:
        """Read the settings of a saved GAL-Rec.

        Args:
            backbone: folder or Hub id, or what else `load_backbone` accepts.
            trust_remote_code: whether code in the repository may run.
            source: ``revision``, ``token`` and the other options that say where files are.

        Returns:
            The settings; ``None`` for a model object, the size of a model from scratch, or another kind of model.
        """
        if isinstance(backbone, PreTrainedModel) or str(backbone) in BACKBONES:
            return None
        name = str(backbone)
        folder = Path(name, source.get("subfolder") or "")
        if folder.is_dir() and not (folder / CONFIG_NAME).is_file():
            return None  # `load_backbone` says what is wrong
        config = AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code, **source)
        if config.model_type != GALRecConfig.model_type:
            return None
        prompt = GALRecPrompt(**load_settings(name, **source)["prompt"])
        # Or the repository's own copy of that class.
        return cls(name, cast(GALRecConfig, config), prompt, list(ItemCatalog.load(name, **source).item_ids))

    def check_settings(
        self, prompt: GALRecPrompt | Mapping[str, Any] | None, config: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Refuse settings that differ from those that the model was trained with.

        Args:
            prompt: fields of `GALRecPrompt`, or a complete prompt.
            config: fields of `GALRecConfig`; those in `ADJUSTABLE` may differ.

        Returns:
            The fields of the configuration that may differ.

        Raises:
            ValueError: an unknown name, or settings that differ: names each with both values.
        """
        given = prompt.to_dict() if isinstance(prompt, GALRecPrompt) else dict(prompt or {})
        # The text of the chat template is no setting: it stays as it was when the model was trained.
        given.pop("chat_frame", None)
        unknown = sorted(set(given) - set(self.prompt.to_dict()))
        if unknown:
            raise ValueError(f"prompt: GALRecPrompt has no {unknown}")
        unknown = sorted(set(config or {}) - set(self.config.to_dict()))
        if unknown:
            raise ValueError(f"config: GALRecConfig has no {unknown}")
        before, after = self.prompt.to_dict(), replace(self.prompt, **given).to_dict()
        pairs = [(name, before[name], after[name]) for name in given]
        fixed = {name: value for name, value in (config or {}).items() if name not in ADJUSTABLE}
        pairs += [(name, getattr(self.config, name), value) for name, value in fixed.items()]
        differences = [f"{name} was {old}, is {new}" for name, old, new in pairs if old != new]
        if differences:
            raise ValueError(
                f"{self.name} cannot be trained further with other settings than its own: {'; '.join(differences)}. "
                "Give its settings, or train from its backbone"
            )
        return {name: value for name, value in (config or {}).items() if name in ADJUSTABLE}

    def check_kinds(self, kinds: Collection[str], name: str = "item_vectors") -> None:
        """Refuse other kinds of external embeddings than the model's.

        Args:
            kinds: ``text``, ``collaborative`` or both.
            name: parameter that selects them, for the message.

        Raises:
            ValueError: names both.
        """
        own, given = (" and ".join(sorted(each)) for each in (self.config.external_widths, kinds))
        if own != given:
            raise ValueError(f"{name}: {self.name} was trained with {own} embeddings, these are {given}")

    def check_catalog(self, dataset: RecDataset) -> None:
        """Refuse a dataset whose items are not those of the model.

        Args:
            dataset: to train on.

        Raises:
            ValueError: the items differ; names the first row that does.
        """
        if self.item_ids == dataset.item_ids:
            return
        rows = zip(self.item_ids, dataset.item_ids, strict=False)
        end = min(len(self.item_ids), dataset.num_items)
        row = next((row for row, (one, other) in enumerate(rows) if one != other), end)
        raise ValueError(
            f"{self.name} was trained on another catalogue: it has {len(self.item_ids)} items, the dataset "
            f"{dataset.num_items}, and they differ from row {row} on; items cannot be added to a GAL-Rec"
        )

    def check_item_vectors(self, model: GALRecForCausalLM, item_vectors: Mapping[str, np.ndarray]) -> None:
        """Refuse external embeddings that differ from those the model was trained with.

        Args:
            model: the model, with its weights.
            item_vectors: by kind, ``text`` or ``collaborative``, float (num_items, d); kinds may be absent.

        Raises:
            ValueError: embeddings differ; names their kind.
        """
        sizes = self.config.external_widths
        own = model.model.item_external.float().cpu().split(tuple(sizes.values()), dim=-1)
        saved = dict(zip(sizes, own, strict=True))
        for kind, vectors in item_vectors.items():
            given = F.normalize(torch.as_tensor(np.ascontiguousarray(vectors)).float(), dim=-1)
            same = kind in saved and given.shape == saved[kind].shape
            if same:
                expected = F.normalize(saved[kind], dim=-1)
                is_missing = (given == 0).all(dim=-1) & (expected == 0).all(dim=-1)
                same = bool((((given * expected).sum(dim=-1) > _SAME_DIRECTION) | is_missing).all())
            if not same:
                raise ValueError(
                    f"item_vectors: not the {kind} embeddings that {self.name} was trained with; leave them out"
                )
