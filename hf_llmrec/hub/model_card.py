"""Model cards, generated from the files of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..data.files import read_json
from ..evaluation.comparison_report import HEADINGS

TEMPLATE = Path(__file__).parent / "templates" / "recommender.md.jinja"
# Per method: its title, the library that loads it, the Hub's task if one fits, the arXiv number of its paper.
METHODS: dict[str, dict[str, Any]] = {
    "lcrec": {"title": "LC-Rec", "library": "transformers", "pipeline_tag": "text-generation", "arxiv": "2311.09049"},
    "galrec": {"title": "GAL-Rec", "library": "transformers", "pipeline_tag": "text-generation", "arxiv": "2406.13235"},
    "sasrec": {"title": "SASRec", "library": "hf_llmrec", "pipeline_tag": None, "arxiv": "1808.09781"},
    "lightgcn": {"title": "LightGCN", "library": "hf_llmrec", "pipeline_tag": "graph-ml", "arxiv": "2002.02126"},
    "knn": {"title": "item neighbours", "library": "hf_llmrec", "pipeline_tag": None, "arxiv": None},
    "popularity": {"title": "popularity", "library": "hf_llmrec", "pipeline_tag": None, "arxiv": None},
    "text_encoder": {"title": "text encoder", "library": "hf_llmrec", "pipeline_tag": None, "arxiv": "2206.05941"},
    "fusion": {"title": "fusion", "library": "hf_llmrec", "pipeline_tag": None, "arxiv": None},
}


@dataclass
class CardFacts:
    """The facts that a model card is generated from.

    Attributes:
        repo_id: Hub id of the model's repository, which need not exist yet.
        method: a method of `METHODS`, or one that was registered from outside the package.
        dataset: name of the data set.
        num_items: number of items in the catalogue.
        result: content of a result file (``evaluate --result``); ``None``: the card claims no metrics.
        comparison: content of ``comparison.json`` of ``compare``; ``None``: the card has no comparison.
        name: name of this model in ``comparison``.
        index: report of the item index, for LC-Rec.
        dataset_id: Hub id of the data set, if it has one.
        base_model: Hub id of the pretrained backbone, if there is one.
        num_layers: number of layers of the backbone that were kept, the first ones; ``None``: all.
        command: command of the training.
        commit: commit of the package.
        plots: captions of plots by file name in the repository.
        has_graph: whether GAL-Rec's graph is in the repository.
        has_memory: whether LC-Rec's co-occurrences of training interactions are.
        has_times: whether the times of training interactions are, for time features.
        parts: methods or Hub ids of a fusion's parts.
        license: identifier of the license, as the Hub spells it.
        language: language of the item texts, as an ISO 639-1 code.
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
    num_layers: int | None = None
    command: str | None = None
    commit: str | None = None
    plots: Mapping[str, str] = field(default_factory=dict)
    has_graph: bool = False
    has_memory: bool = False
    has_times: bool = False
    parts: Sequence[str] = ()
    license: str = "apache-2.0"
    language: str = "en"


def make_card(facts: CardFacts) -> ModelCard:
    """Render the card.

    Args:
        facts: what the card says.

    Raises:
        ValueError: the model is not in the comparison, or has other metrics there than in its result file.
    """
    custom = {"title": facts.method, "library": "hf_llmrec", "pipeline_tag": None, "arxiv": None}
    method, result = METHODS.get(facts.method, custom), facts.result
    compared = None if facts.comparison is None else _compared_models(facts, facts.comparison)
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
        eval_results=_eval_results(facts, result) if result else None,
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
        rows=_comparison_rows(compared, facts.name) if compared else [],
        own=compared[facts.name] if compared else None,
        figure=figure,
    )


def figure(value: float | None, digits: int = 4) -> str:
    """Format a metric between 0 and 1 without the leading zero, as in ``.0582``.

    Args:
        value: the metric; ``None`` if there was no user to measure it on.
        digits: number of digits after the point.
    """
    if value is None:
        return "not measured (no user)"
    text = f"{value:.{digits}f}"
    return text.removeprefix("0") if abs(value) < 1 else text


def _eval_results(facts: CardFacts, result: Mapping[str, Any]) -> list[EvalResult]:
    evaluation = result.get("evaluation", {})
    return [
        EvalResult(
            task_type="recommendation",
            task_name="Next-item recommendation, full ranking",
            dataset_type=facts.dataset_id or facts.dataset,
            dataset_name=facts.dataset,
            dataset_split=evaluation.get("split", "test"),
            metric_type=name,
            metric_name=heading,
            metric_value=round(float(result["metrics"][name]), 6),
        )
        for name, heading in HEADINGS.items()
    ]


def _compared_models(facts: CardFacts, comparison: Mapping[str, Any]) -> dict[str | None, Any]:
    """The models of a comparison by name, after a check that it agrees with the result file."""
    models = comparison["models"]
    if facts.name not in models:
        raise ValueError(f"the comparison has no model {facts.name!r}: {sorted(models)}")
    if facts.result is None:
        return models
    for name in HEADINGS:
        there, here = models[facts.name]["metrics"][name], facts.result["metrics"][name]
        if abs(there - here) > 1e-6:
            raise ValueError(f"{facts.name}: {name} is {there:.6f} in the comparison and {here:.6f} in the result file")
    return models


def _comparison_rows(models: dict[str | None, Any], own_name: str | None) -> list[dict[str, Any]]:
    """One row per compared model, this one first: its metrics, and the difference of this model to it."""
    own = models[own_name]
    names = [own_name, *(name for name in models if name != own_name)]
    return [
        {
            "name": name,
            "metrics": models[name]["metrics"],
            "interval": models[name]["interval"]["ndcg@10"],
            "difference": None if name == own_name else own["against"][name]["ndcg@10"],
        }
        for name in names
    ]


def facts_from_json(**files: str | Path | None) -> dict[str, Any]:
    """Read fields of `CardFacts` from JSON files.

    Args:
        files: a file per field; fields whose file is ``None`` are left out.
    """
    return {name: read_json(file) for name, file in files.items() if file}
