"""Collaborative vectors in the index: whitening, concatenation, RQ-VAE's alignment, the command."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from hf_llmrec.cli import build_index as command
from hf_llmrec.data.embedding_files import save_embeddings
from hf_llmrec.data.item_index import ItemIndex
from hf_llmrec.indexing.build import build_index
from hf_llmrec.indexing.collaborative import whiten, whitened_concatenation
from hf_llmrec.indexing.rqvae.configuration_rqvae import RQVAEConfig
from hf_llmrec.indexing.rqvae.modeling_rqvae import RQVAEModel
from hf_llmrec.indexing.rqvae.training import train_rqvae

RNG = np.random.default_rng(0)


def test_whitening_gives_every_component_the_same_variance():
    vectors = RNG.standard_normal((500, 6)) * [10, 5, 1, 1, 0.1, 0] + 3
    vectors[:20] = 0
    found = whiten(vectors, 4)
    assert found.shape == (500, 4) and not found[:20].any()
    np.testing.assert_allclose(np.cov(found[20:].T, bias=True), np.eye(4) / 4, atol=1e-6)
    assert whiten(vectors, 64).shape == (500, 5)  # a dimension without variance is none


def test_neither_part_rules_by_its_scale():
    text, collaborative = RNG.standard_normal((300, 8)), RNG.standard_normal((300, 5)) * 1e4
    for weight in (0.0, 0.3, 1.0):
        both = whitened_concatenation(text, collaborative, weight=weight, dimensions=4)
        assert both.shape == (300, 8)
        assert (both[:, :4] ** 2).sum() / 300 == pytest.approx(1 - weight, abs=1e-5)
        assert (both[:, 4:] ** 2).sum() / 300 == pytest.approx(weight, abs=1e-5)
    with pytest.raises(ValueError, match="collaborative_weight"):
        whitened_concatenation(text, collaborative, weight=1.5)


@pytest.fixture(scope="module")
def catalogue():
    """Items whose texts hardly hint at the four communities that their collaborative vectors show."""
    community = np.repeat(np.arange(4), 50)
    collaborative = np.eye(4)[community] * 4 + RNG.standard_normal((200, 4)) * 0.3
    hint = np.eye(4)[community] * 0.5 + RNG.standard_normal((200, 4)) * 0.05
    text = np.concatenate([RNG.standard_normal((200, 12)), hint], axis=1)
    return text.astype(np.float32), collaborative.astype(np.float32), community


def purity(index: ItemIndex, community: np.ndarray) -> float:
    """Share of items in the majority community of their first code."""
    first = index.codes[:, 0]
    return sum(np.bincount(community[first == code]).max() for code in np.unique(first)) / len(community)


@pytest.mark.parametrize(
    "indexer, options",
    [("kmeans", {}), ("rqvae", {"steps": 1000, "batch_size": 100, "alignment_weight": 1.0})],
)
def test_codes_then_tell_communities_apart(catalogue, indexer, options):
    text, collaborative, community = catalogue
    ids = [f"i{i}" for i in range(200)]
    plain_options = {name: value for name, value in options.items() if name != "alignment_weight"}
    plain = build_index(text, ids, indexer=indexer, levels=3, codebook_size=8, **plain_options)
    both = build_index(text, ids, indexer=indexer, levels=3, codebook_size=8, collaborative=collaborative, **options)
    assert purity(both, community) > purity(plain, community) + 0.2
    assert both.is_unique and "collaborative_neighbour_preservation" in both.report()


def test_alignment_loss_against_a_loop():
    torch.manual_seed(0)
    model = RQVAEModel(RQVAEConfig(input_dim=6, collaborative_dim=3, alignment_temperature=0.2))
    quantized, others = torch.randn(5, model.config.codebook_dim), torch.randn(5, 3)
    others[2] = 0
    known = [0, 1, 3, 4]
    mapped = model.alignment_head(quantized)
    cosine = torch.nn.functional.cosine_similarity(mapped[known].unsqueeze(1), others[known].unsqueeze(0), dim=-1) / 0.2
    loss = sum(-cosine[i].log_softmax(0)[i] - cosine[:, i].log_softmax(0)[i] for i in range(4)) / 8
    torch.testing.assert_close(model.alignment_loss(quantized, others), loss)
    assert model.alignment_loss(quantized[:1], others[:1]) == 0
    with pytest.raises(ValueError, match="collaborative_dim"):
        RQVAEModel(RQVAEConfig(input_dim=6)).alignment_loss(quantized, others)


def test_the_alignment_head_learns(catalogue):
    text, collaborative, _ = catalogue
    config = RQVAEConfig(input_dim=16, codebook_sizes=[8, 8], collaborative_dim=4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        before = RQVAEModel(config).alignment_head.weight.clone()
    model = train_rqvae(text, config, collaborative=collaborative, steps=30, batch_size=50)
    assert not torch.equal(model.alignment_head.weight, before)


@pytest.mark.parametrize(
    "vectors, message",
    [(np.ones((3, 2)), "must be"), (np.zeros((200, 2)), "all zero"), (np.full((200, 2), np.nan), "finite")],
)
def test_bad_vectors(catalogue, vectors, message):
    with pytest.raises(ValueError, match=message):
        build_index(catalogue[0], [str(i) for i in range(200)], collaborative=vectors)


def test_the_command(dataset, tmp_path, capsys):
    dataset.save(tmp_path / "data")
    save_embeddings(tmp_path / "sasrec.safetensors", dataset, items=RNG.standard_normal((dataset.num_items, 4)))
    options = ["--dataset", str(tmp_path / "data"), "--output_dir", str(tmp_path / "index")]
    command.main([*options, "--collaborative", str(tmp_path / "sasrec.safetensors")])
    assert "of collaborative vectors" in capsys.readouterr().out
    value = json.loads((tmp_path / "index" / "item_index.json").read_text())
    assert "collaborative_neighbour_preservation" in value["metadata"]["build"]
    books = load_file(tmp_path / "index" / "item_index.safetensors")
    assert books["codebook.0"].shape[1] > 4  # text and collaborative components side by side
