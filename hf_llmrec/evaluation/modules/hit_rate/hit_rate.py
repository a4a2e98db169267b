"""``hit_rate@k`` as a module of Hugging Face's evaluate."""

import datasets
import evaluate

from hf_llmrec.evaluation.metrics import hit_rate_at
from hf_llmrec.evaluation.rankings import INPUTS, ranking_features, ranks_of

DESCRIPTION = "Share of users whose held-out item is among the first k."


class HitRate(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=ranking_features(datasets),
        )

    def _compute(self, predictions, references, k=10):
        return {f"hit_rate@{k}": hit_rate_at(ranks_of(predictions, references, k), k)}
