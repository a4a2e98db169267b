"""Sinkhorn-Knopp: both forms agree, masses are even, nothing underflows at the paper's epsilon."""

import numpy as np
import pytest
import torch

from hf_llmrec.indexing.rqvae.sinkhorn import _logarithmic, _scaled, center_distances, sinkhorn


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_sinkhorn_spreads_points_evenly(kind):
    distances = kind(np.random.default_rng(0).random((64, 8)))
    plan = sinkhorn(distances, epsilon=0.05, iterations=200)
    assert type(plan) is type(distances)
    assert np.allclose(np.asarray(plan.sum(1)), 1, atol=1e-9) and np.allclose(np.asarray(plan.sum(0)), 8, atol=1e-3)


def test_sinkhorn_does_not_underflow_at_the_papers_epsilon():
    plan = sinkhorn(np.random.default_rng(0).random((100, 256)) * 1e4, 0.003, 50)
    assert np.isfinite(plan).all() and np.allclose(plan.sum(1), 1)


@pytest.mark.parametrize("epsilon", [0.003, 0.05])
def test_matrix_scaling_is_the_log_domain_form(epsilon):
    logits = -center_distances(torch.rand(300, 40, dtype=torch.float64)) / epsilon
    assert torch.allclose(_scaled(logits, 50), _logarithmic(logits, 50), atol=1e-9)


def test_kernels_beyond_float64_go_through_logarithms():
    # At this epsilon exp() of the kernel is 0 for all but a row's nearest codes, and a code nobody is near to divides
    # by zero: only the log domain has an answer.
    distances = torch.rand(60, 10, dtype=torch.float64)
    distances[:, 3] += 5
    logits = -center_distances(distances) / 1e-4
    assert not torch.isfinite(_scaled(logits, 20)).all()
    plan = sinkhorn(distances, 1e-4, 20)
    assert torch.isfinite(plan).all() and torch.allclose(plan.sum(1), torch.ones(60, dtype=torch.float64))


def test_bad_input():
    with pytest.raises(ValueError, match="epsilon"):
        sinkhorn(np.ones((2, 2)), 0.0)
    with pytest.raises(ValueError, match="finite"):
        sinkhorn(np.array([[np.nan, 1.0]]))
