"""``ndcg@k`` as a module of Hugging Face's evaluate."""

import datasets
import evaluate

from hf_llmrec.evaluation.metrics import ndcg_at
from hf_llmrec.evaluation.rankings import INPUTS, ranking_features, ranks_of

DESCRIPTION = "Mean normalised discounted cumulative gain at k with one relevant item per user: 1 / log2(rank + 1)."


class NDCG(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=ranking_features(datasets),
        )

    def _compute(self, predictions, references, k=10):
        return {f"ndcg@{k}": ndcg_at(ranks_of(predictions, references, k), k)}
