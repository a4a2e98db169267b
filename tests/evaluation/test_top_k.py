import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_llmrec.evaluation.top_k import best_first, rank_dense_scores


@given(st.integers(1, 6), st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**31), st.integers(1, 4))
def test_it_is_a_stable_sort_cut_off(rows, columns, width, seed, values):
    """Few distinct values, so that ties are everywhere; some entries are barred."""
    width = min(width, columns)
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(values, (rows, columns), generator=generator).float()
    scores[torch.rand(scores.shape, generator=generator) < 0.2] = -torch.inf
    best, place = best_first(scores, width)
    expected = scores.sort(dim=1, descending=True, stable=True)
    real = ~torch.isneginf(expected.values[:, :width])
    assert torch.equal(best, expected.values[:, :width])
    assert torch.equal(place[real], expected.indices[:, :width][real])


def test_ties_and_masks():
    scores = np.array([[1.0, 2.0, 2.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    rows, values = rank_dense_scores(
        scores, 3, exclude=[np.array([1]), np.array([], dtype=int)], allowed=np.array([0, 1, 2])
    )
    assert rows.tolist() == [[2, 0, -1], [0, 1, 2]]
    assert values[0].tolist() == [2.0, 1.0, -np.inf]
    assert rank_dense_scores(scores, 2, allowed=np.array([], dtype=int))[0].tolist() == [[-1, -1]] * 2


def test_more_results_than_items_are_padded():
    rows, values = rank_dense_scores(np.array([[0.5, 0.7]]), 4)
    assert rows.tolist() == [[1, 0, -1, -1]]
    assert np.isneginf(values[0, 2:]).all()


def test_scores_that_are_no_numbers_are_an_error():
    with pytest.raises(ValueError, match="no number"):
        rank_dense_scores(np.array([[0.5, np.nan, 1.0]]), 2)
