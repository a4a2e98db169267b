"""Defaults of GAL-Rec that depend on where a training starts: from pretrained weights, or from scratch."""

from __future__ import annotations

from .losses import ALIGNMENTS

# By training option: (default for pretrained weights, default from scratch). A model from scratch has learned no words:
# it reads items alone, in rows without words and titles, which are shorter. The configurations for the demo and for
# Amazon Beauty use these values, or values close to them.
GALREC = {
    "latest_share": (0.5, 0.8),
    "item_dropout": (0.0, 0.1),
    "residual_dropout": (0.0, 0.2),
    "contrastive_temperature": (0.1, 0.2),
    "momentum": (0.999, 0.995),
    "loss_weights": (dict.fromkeys(ALIGNMENTS, 0.1), dict.fromkeys(ALIGNMENTS, 0.02)),
}
# The same for fields of `GALRecPrompt`.
GALREC_PROMPT = {"template": ("words", "bare"), "title_hops": ((0,), ())}
# Fields of `GALRecConfig` for a model from scratch.
GALREC_MODEL = {"embedding_dropout": 0.3, "rec_dropout": 0.5}
