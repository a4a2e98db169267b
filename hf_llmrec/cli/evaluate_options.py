"""Options of ``evaluate``."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from ..evaluation.metrics import check_cutoffs
from ..evaluation.ranker import Ranker
from .case_options import CaseArguments
from .models import open_ranker


@dataclass
class EvaluateArguments(CaseArguments):
    """What to evaluate, and how; on whom, see `CaseArguments`.

    Args:
        model: recommender folder or Hub id, ``popularity``, or a file of predictions, see `PredictedRankings`.
        output: JSON file for the metrics.
        result: JSON file for the metrics together with how the model was trained, to be committed or compared.
        num_beams, normalize, max_history, batch_size: replace the model's stored settings.
        ks: further cut-offs, of HR, NDCG, MRR and MAP.
        beyond_accuracy: also report novelty, popularity, diversity (by texts) and coverage of what is recommended.
        templates: ``first``, or ``all`` to average the metrics over all wordings of the prompt (prefix form).
        tasks: also report whether LC-Rec's alignment tasks were learned, on at most 2,000 items or users each.
    """

    model: str = field(
        default=None, metadata={"help": "recommender folder or Hub id, `popularity`, or a file of predictions"}
    )
    output: str | None = field(default=None, metadata={"help": "JSON file for the metrics"})
    result: str | None = field(default=None, metadata={"help": "JSON file for metrics and training configuration"})
    num_beams: int | None = field(default=None, metadata={"help": "beams (default: the model's setting)"})
    normalize: str | None = field(default=None, metadata={"help": "`vocab`, `level` or `children`"})
    max_history: int | None = field(default=None, metadata={"help": "latest items read (default: the model's)"})
    batch_size: int | None = field(default=None, metadata={"help": "prompts per forward pass"})
    ks: list[int] = field(
        default_factory=list, metadata={"help": "further cut-offs, of HR, NDCG, MRR and MAP: --ks 20 50 100"}
    )
    beyond_accuracy: bool = field(
        default=False, metadata={"help": "also report novelty, popularity, diversity and coverage of recommendations"}
    )
    templates: str = field(default="first", metadata={"help": "`first`, or `all`: metrics averaged over all wordings"})
    tasks: bool = field(default=False, metadata={"help": "also report whether LC-Rec's alignment tasks were learned"})

    def __post_init__(self):
        if not self.model:
            raise ValueError("--model is required: a recommender folder, a Hub id, or `popularity`")
        super().__post_init__()
        if self.templates not in ("first", "all"):
            raise ValueError(f"--templates must be first or all, got {self.templates!r}")
        check_cutoffs(self.ks)
        for name in ("num_beams", "max_history", "batch_size"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")

    def open_ranker(self, dataset: RecDataset, split: RecSplit) -> Ranker:
        """The model behind the `Ranker` interface, with the options given here."""
        options = {name: getattr(self, name) for name in ("num_beams", "normalize", "max_history", "batch_size")}
        options["neighbors"] = self.neighbors
        return open_ranker(self.model, dataset, split, **options)
