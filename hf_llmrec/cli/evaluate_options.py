"""Options of ``evaluate``."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..evaluation.ranker import Ranker
from .case_options import CaseArguments
from .models import open_ranker


@dataclass
class EvaluateArguments(CaseArguments):
    """What to evaluate, and how. The other parameters are those of [`CaseArguments`].

    Args:
        model: recommender folder or Hub id, ``popularity``, or a file of predictions (see `PredictedRankings`).
            Required.
        output: JSON file for the metrics; default: they are only printed.
        result: JSON file for the metrics together with how the model was trained, to be committed or compared.
        num_beams: beams of LC-Rec's beam search; default: the model's stored setting.
        normalize: normalisation of LC-Rec's decoding scores, ``vocab``, ``level`` or ``children``; default: the model's
            stored setting.
        max_history: how many of the latest items of a history are read; default: the model's stored setting.
        batch_size: users ranked at once; default: the model's own.
        beyond_accuracy: also report novelty, popularity, diversity (of the texts) and coverage of the recommendations.
        templates: ``first``: the prompt's first wording; ``all``: metrics averaged over all wordings (prefix form).
        tasks: also report whether LC-Rec's alignment tasks were learned, on at most 2,000 items or users each.
        held_out_texts: with ``tasks``, the share of the items for whose texts they are reported apart; default: as the
            model was trained. Another share than that is refused, without ``--other_data``; 0: no items.
        held_out_texts_seed: seed of the choice of these items; default: as the model was trained.
        plain_text: file of plain text, for LC-Rec: also report its perplexity under the model, over the vocabulary
            without index tokens.
        plain_text_base: folder or Hub id of a language model, such as the one that training started from, whose
            perplexity is reported beside.
    """

    model: str = field(
        default="", metadata={"help": "recommender folder or Hub id, `popularity`, or a file of predictions"}
    )
    output: str | None = field(default=None, metadata={"help": "JSON file for the metrics"})
    result: str | None = field(default=None, metadata={"help": "JSON file for metrics and training configuration"})
    num_beams: int | None = field(default=None, metadata={"help": "beams (default: the model's setting)"})
    normalize: str | None = field(
        default=None, metadata={"help": "`vocab`, `level` or `children` (default: the model's setting)"}
    )
    max_history: int | None = field(
        default=None, metadata={"help": "how many of the latest items are read (default: the model's)"}
    )
    batch_size: int | None = field(default=None, metadata={"help": "prompts per forward pass"})
    beyond_accuracy: bool = field(
        default=False, metadata={"help": "also report novelty, popularity, diversity and coverage of recommendations"}
    )
    templates: str = field(default="first", metadata={"help": "`first`, or `all`: metrics averaged over all wordings"})
    tasks: bool = field(default=False, metadata={"help": "also report whether LC-Rec's alignment tasks were learned"})
    held_out_texts: float | None = field(
        default=None, metadata={"help": "with --tasks: share of the items reported apart (default: as in training)"}
    )
    held_out_texts_seed: int | None = field(default=None, metadata={"help": "seed of --held_out_texts"})
    plain_text: str | None = field(
        default=None, metadata={"help": "file of plain text, whose perplexity under LC-Rec is reported"}
    )
    plain_text_base: str | None = field(
        default=None, metadata={"help": "language model whose perplexity of --plain_text is reported beside"}
    )

    def __post_init__(self):
        if not self.model:
            raise ValueError("--model is required: a recommender folder, a Hub id, or `popularity`")
        super().__post_init__()
        if self.templates not in ("first", "all"):
            raise ValueError(f"--templates must be first or all, got {self.templates!r}")
        for name in ("held_out_texts", "held_out_texts_seed"):
            if getattr(self, name) is not None and not self.tasks:
                raise ValueError(f"--{name} is about --tasks, which is not set")
        if self.plain_text_base and not self.plain_text:
            raise ValueError("--plain_text_base is about --plain_text, which is not set")
        for name in ("num_beams", "max_history", "batch_size"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")

    def open_ranker(self, dataset: RecDataset, split: RecSplit) -> Ranker:
        """Open the model as a `Ranker`, with these options.

        Args:
            dataset: its items are the catalogue to rank.
            split: its training interactions are those that the ranker may read.
        """
        options = {name: getattr(self, name) for name in ("num_beams", "normalize", "max_history", "batch_size")}
        return open_ranker(self.model, dataset, split, neighbors=self.neighbors, memory=self.memory, **options)
