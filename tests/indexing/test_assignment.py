"""Every item gets a code string of its own, at minimum cost where items share a prefix."""

import itertools

import numpy as np
import pytest

from hf_llmrec.indexing.assignment import assign_unique, colliding, sinkhorn_repair, squared_distances
from hf_llmrec.indexing.build import build_index, default_codebook_size
from hf_llmrec.indexing.kmeans import residual_kmeans
from hf_llmrec.indexing.report import format_report


def names(count: int) -> list[str]:
    return [f"i{row}" for row in range(count)]


@pytest.mark.parametrize("count", [1, 2, 7, 300])
def test_small_catalogues_and_identical_vectors_are_collision_free(count):
    index = build_index(np.ones((count, 5)), names(count), codebook_size=8)
    assert index.is_unique and index.codes.shape == (count, 4)


def test_the_same_vectors_give_the_same_codes():
    vectors = np.random.default_rng(0).standard_normal((200, 6))
    vectors[50:90] = vectors[50]
    first, again = (build_index(vectors, names(200), codebook_size=16) for _ in range(2))
    assert np.array_equal(first.codes, again.codes)
    assert not np.array_equal(first.codes, build_index(vectors, names(200), codebook_size=16, seed=1).codes)


def test_last_codes_have_minimum_total_distance():
    """Against brute force over all ways to give the items of one prefix distinct codes."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((40, 3)).astype(np.float32)
    index = build_index(vectors, names(40), levels=2, codebook_size=16)
    quantization = residual_kmeans(vectors, 2, 16)
    checked = 0
    for prefix in np.unique(quantization.codes[:, 0]):
        rows = np.flatnonzero(quantization.codes[:, 0] == prefix)
        if not 2 <= len(rows) <= 4:
            continue
        rest = quantization.inputs[rows] - quantization.codebooks[0][prefix]
        cost = ((rest[:, None] - quantization.codebooks[1][None]) ** 2).sum(-1)
        best = min(sum(cost[i, c] for i, c in enumerate(way)) for way in itertools.permutations(range(16), len(rows)))
        found = sum(cost[i, index.codes[row, 1]] for i, row in enumerate(rows))
        assert found == pytest.approx(best, rel=1e-5)
        checked += 1
    assert checked >= 5


def test_an_overfull_prefix_spills_and_is_reported(caplog):
    vectors = np.concatenate([np.tile([1.0, 0.0], (12, 1)), np.random.default_rng(0).standard_normal((6, 2)) - 3])
    index = build_index(vectors, names(18), levels=2, codebook_size=8)
    assert index.is_unique and index.report()["spilled"] >= 4
    assert "another prefix" in caplog.text


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4, 5, 6], [6, 3, 0, 5, 2, 4, 1]])
def test_an_overfull_prefix_keeps_its_nearest_items(rows):
    """Six items around 0 where four codes are: the two farthest go to the prefix at 10, whatever their order."""
    inputs = np.array([0.0, 0.1, -0.1, 0.2, 2.0, 3.0, 10.0])[rows, None]
    centers, books = np.array([[0.0], [10.0]]), np.array([[-0.1], [0.0], [0.1], [0.2]])
    codes = np.column_stack([np.where(inputs[:, 0] > 5, 1, 0), np.ones(7, dtype=int)])
    found = assign_unique(
        codes,
        lambda members, prefix: squared_distances(inputs[members] - centers[prefix[0]], books),
        lambda prefixes: centers[prefixes[:, 0]],
        inputs,
        last_size=4,
    )
    assert found.spilled == 2 and len(np.unique(found.codes, axis=0)) == 7
    assert sorted(inputs[found.codes[:, 0] == 1, 0]) == [2.0, 3.0, 10.0]


def test_a_catalogue_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="do not fit"):
        build_index(np.ones((10, 2)), names(10), levels=2, codebook_size=3)


def test_bad_vectors_and_options():
    with pytest.raises(ValueError, match="not finite"):
        build_index(np.array([[np.nan, 1.0]]), ["a"])
    with pytest.raises(ValueError, match="2 items"):
        build_index(np.ones((3, 2)), ["a", "b"])
    with pytest.raises(ValueError, match="--indexer"):
        build_index(np.ones((1, 2)), ["a"], indexer="none")


def test_codebook_sizes_follow_the_catalogue():
    assert default_codebook_size(12_101, 4) == 256
    assert default_codebook_size(600, 4) == 64
    assert all(default_codebook_size(n, levels) ** levels >= n for n in (1, 50, 10**6) for levels in (2, 3, 4))


def test_the_report_counts_what_happened():
    vectors = np.repeat(np.random.default_rng(0).standard_normal((50, 4)), 2, axis=0)
    report = build_index(vectors, names(100), codebook_size=8).report()
    assert report["collisions_before"] == 100 and report["collisions"] == 0
    assert report["items_moved"] >= 0.5 and 0 <= report["variance_unexplained"] < 0.3
    assert report["prefixes"][-1] == 100 and len(report["entropy_bits"]) == 4
    assert "100 items" in format_report(report)


def test_the_papers_repair_lowers_collisions():
    codes = np.zeros((6, 2), dtype=int)
    repaired, history = sinkhorn_repair(codes, np.random.default_rng(0).random((6, 8)))
    assert colliding(repaired).sum() < 6 and history[-1] == colliding(repaired).sum()
