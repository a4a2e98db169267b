"""Model cards: what a repository says of itself, made from the files of a run and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..data.files import read_json
from ..evaluation.comparison_report import HEADINGS

TEMPLATE = Path(__file__).parent / "templates" / "recommender.md.jinja"
# Per method: its name, the library that loads it, the Hub's task where there is one that fits, the paper.
METHODS: dict[str, dict[str, Any]] = {
    "lcrec": {"title": "LC-Rec", "library": "transformers", "pipeline_tag": "text-generation", "arxiv": "2311.09049"},
    "galrec": {"title": "GAL-Rec", "library": "transformers", "pipeline_tag": "text-generation", "arxiv": "2406.13235"},
    "sasrec": {"title": "SASRec", "library": "hf_llmrec", "pipeline_tag": None, "arxiv": "1808.09781"},
    "lightgcn": {"title": "LightGCN", "library": "hf_llmrec", "pipeline_tag": "graph-ml", "arxiv": "2002.02126"},
    "knn": {"title": "item neighbours", "library": "hf_llmrec", "pipeline_tag": None, "arxiv": None},
    "popularity": {"title": "popularity", "library": "hf_llmrec", "pipeline_tag": None, "arxiv": None},
}


@dataclass
class CardFacts:
    """What a card is made from.

    Attributes:
        repo_id: where the model lies, or will.
        method: of `METHODS`, or one that was added from outside the package.
        dataset: its name. dataset_id: its Hub id, where it has one.
        num_items: of the catalogue.
        result: a result file (``evaluate --result``), or ``None``: no metrics are claimed.
        comparison: ``comparison.json`` of ``compare``, or ``None``; name: of this model in it.
        index: the report of the item index, for LC-Rec.
        base_model: Hub id of a pretrained backbone. command: of the training. commit: of the package.
        plots: file names in the repository, with what they show.
        has_graph: whether GAL-Rec's graph is in the repository.
        license: identifier, as the Hub spells it. language: of the item texts.
    """

    repo_id: str
    method: str
    dataset: str
    num_items: int
    result: Mapping[str, Any] | None = None
    comparison: Mapping[str, Any] | None = None
    name: str | None = None
    index: Mapping[str, Any] | None = None
    dataset_id: str | None = None
    base_model: str | None = None
    command: str | None = None
    commit: str | None = None
    plots: Mapping[str, str] = field(default_factory=dict)
    has_graph: bool = False
    license: str = "apache-2.0"
    language: str = "en"


def make_card(facts: CardFacts) -> ModelCard:
    """Render the card.

    Raises:
        ValueError: a comparison in which the model does not occur or has other figures than in its result file.
    """
    unknown = {"title": facts.method, "library": "hf_llmrec", "pipeline_tag": None, "arxiv": None}  # somebody's own
    method, result = METHODS.get(facts.method, unknown), facts.result
    if facts.comparison is not None:
        _check_comparison(facts)
    tags = ["recommendation", "sequential-recommendation", "hf_llmrec", facts.method]
    tags += ["custom_code"] if facts.method == "galrec" else []
    tags += [f"arxiv:{method['arxiv']}"] if method["arxiv"] else []
    name = facts.repo_id.split("/")[-1]
    data = ModelCardData(
        language=facts.language,
        license=facts.license,
        library_name=method["library"],
        pipeline_tag=method["pipeline_tag"],
        tags=tags,
        datasets=[facts.dataset_id] if facts.dataset_id else None,
        base_model=facts.base_model,
        model_name=name if result else None,
        eval_results=_eval_results(facts) if result else None,
    )
    config = dict(result["config"]) if result else {}
    return ModelCard.from_template(
        data,
        template_path=str(TEMPLATE),
        model_name=name,
        facts=facts,
        method=method,
        metrics=HEADINGS,
        evaluation=result.get("evaluation", {}) if result else {},
        config=yaml.safe_dump(config, sort_keys=True, width=100).strip() if config else "",
        rows=_comparison_rows(facts),
        own=facts.comparison["models"][facts.name] if facts.comparison else None,
        figure=figure,
    )


def figure(value: float | None, digits: int = 4) -> str:
    """A share between 0 and 1 as tables of this field have it: ``.0582``; ``None``: nobody was there to measure it."""
    if value is None:
        return "not measured (no user)"
    text = f"{value:.{digits}f}"
    return text.removeprefix("0") if abs(value) < 1 else text


def _eval_results(facts: CardFacts) -> list[EvalResult]:
    evaluation = facts.result.get("evaluation", {})
    return [
        EvalResult(
            task_type="recommendation",
            task_name="Next-item recommendation, full ranking",
            dataset_type=facts.dataset_id or facts.dataset,
            dataset_name=facts.dataset,
            dataset_split=evaluation.get("split", "test"),
            metric_type=name,
            metric_name=shown,
            metric_value=round(float(facts.result["metrics"][name]), 6),
        )
        for name, shown in HEADINGS.items()
    ]


def _check_comparison(facts: CardFacts) -> None:
    models = facts.comparison["models"]
    if facts.name not in models:
        raise ValueError(f"the comparison has no model {facts.name!r}: {sorted(models)}")
    if facts.result is None:
        return
    for name in HEADINGS:
        there, here = models[facts.name]["metrics"][name], facts.result["metrics"][name]
        if abs(there - here) > 1e-6:
            raise ValueError(f"{facts.name}: {name} is {there:.6f} in the comparison and {here:.6f} in the result file")


def _comparison_rows(facts: CardFacts) -> list[dict[str, Any]]:
    """One row per compared model, this one first: its metrics, and how far this one is from it."""
    if facts.comparison is None:
        return []
    models = facts.comparison["models"]
    own = models[facts.name]
    names = [facts.name, *(name for name in models if name != facts.name)]
    return [
        {
            "name": name,
            "metrics": models[name]["metrics"],
            "interval": models[name]["interval"]["ndcg@10"],
            "difference": None if name == facts.name else own["against"][name]["ndcg@10"],
        }
        for name in names
    ]


def facts_from_json(**files: str | Path | None) -> dict[str, Any]:
    """Read the JSON files of `CardFacts` by field; fields without a file are left out."""
    return {name: read_json(file) for name, file in files.items() if file}
