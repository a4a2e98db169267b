"""The conditional logit against what was put into simulated choices."""

import numpy as np
import pytest

from hf_llmrec.evaluation.conditional_logit import fit_conditional_logit


def choices(scale, gap_scale, weights, cases=4000, items=12):
    rng = np.random.default_rng(0)
    scores, inputs = rng.normal(size=(cases, items)) * 5, rng.normal(size=(cases, items, len(weights)))
    gaps = rng.normal(size=(cases, 1))
    logits = scale * np.exp(gap_scale * gaps) * scores + inputs @ np.array(weights)
    chosen = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return scores, inputs, np.arange(items) == chosen[:, None], gaps


def test_it_recovers_what_choices_were_made_by():
    scores, inputs, is_target, gaps = choices(0.3, -0.4, [0.8, -0.5])
    scale, gap_scale, weights = fit_conditional_logit(scores, inputs, is_target, gaps)
    np.testing.assert_allclose([scale, gap_scale, *weights], [0.3, -0.4, 0.8, -0.5], atol=0.05)


def test_without_gaps_the_scale_is_one_number():
    scores, inputs, is_target, _ = choices(0.2, 0.0, [1.0])
    scale, gap_scale, weights = fit_conditional_logit(scores, inputs, is_target)
    assert gap_scale == 0
    np.testing.assert_allclose([scale, *weights], [0.2, 1.0], atol=0.05)


def test_padding_is_no_candidate():
    scores, inputs, is_target, gaps = choices(0.3, -0.4, [0.8, -0.5])
    padded = [np.pad(each, [(0, 0), (0, 40), *[(0, 0)] * (each.ndim - 2)]) for each in (scores, inputs, is_target)]
    padded[0][:, 12:] = -np.inf
    plain, other = (fit_conditional_logit(*given, gaps) for given in ((scores, inputs, is_target), padded))
    np.testing.assert_allclose(np.append(*other[1:]), np.append(*plain[1:]), atol=1e-6)
    assert other[0] == pytest.approx(plain[0], abs=1e-6)


def test_the_unit_of_the_scores_does_not_matter():
    scores, inputs, is_target, gaps = choices(0.3, 0.2, [0.8])
    plain, scaled = (fit_conditional_logit(scores * unit, inputs, is_target, gaps) for unit in (1.0, 1e4))
    np.testing.assert_allclose(scaled[0] * 1e4, plain[0], rtol=1e-3)
    np.testing.assert_allclose(scaled[2], plain[2], rtol=1e-3)
