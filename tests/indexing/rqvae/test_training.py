"""The RQ-VAE indexer: it learns, uses its codes, repeats itself exactly, and fills the same interface as k-means."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModel

from hf_llmrec.cli import build_index as build_index_command
from hf_llmrec.data.item_index import ItemIndex
from hf_llmrec.indexing.build import build_index
from hf_llmrec.indexing.rqvae.configuration_rqvae import RQVAEConfig
from hf_llmrec.indexing.rqvae.modeling_rqvae import RQVAEModel
from hf_llmrec.indexing.rqvae.training import (
    default_batch_size,
    default_steps,
    initialize_codebooks,
    rqvae_quantization,
    train_rqvae,
)


def clustered(count: int = 400, dim: int = 16) -> np.ndarray:
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((12, dim)) * 2
    return (centers[rng.integers(12, size=count)] + rng.standard_normal((count, dim)) * 0.4).astype(np.float32)


CONFIG = dict(hidden_sizes=[64, 32], codebook_dim=8, codebook_sizes=[16, 16, 16])


def test_training_explains_the_variance_and_uses_every_code():
    vectors = clustered()
    model = train_rqvae(vectors, RQVAEConfig(input_dim=16, **CONFIG), steps=400, batch_size=64)
    quantization = rqvae_quantization(model, vectors)
    assert quantization.variance_unexplained < 0.12
    assert min(len(np.unique(column)) for column in quantization.codes.T) >= 14
    assert not model.training and quantization.inputs.shape == (400, 8)
    # What the report calls unexplained is measured in the space of the embeddings, after decoding the codes.
    rebuilt = model.decode(torch.as_tensor(quantization.codes).long()).detach().numpy()
    total = ((vectors - vectors.mean(0)) ** 2).sum()
    assert quantization.variance_unexplained == pytest.approx(((vectors - rebuilt) ** 2).sum() / total, rel=1e-3)


def test_the_same_seed_gives_the_same_model_and_leaves_the_global_generator_alone():
    vectors, config = clustered(100), RQVAEConfig(input_dim=16, **CONFIG)
    torch.manual_seed(5)
    expected_next = torch.rand(1)
    torch.manual_seed(5)
    first = train_rqvae(vectors, config, seed=3, steps=20)
    assert torch.equal(torch.rand(1), expected_next)
    second = train_rqvae(vectors, config, seed=3, steps=20)
    other = train_rqvae(vectors, config, seed=4, steps=20)
    state = first.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in second.state_dict().items())
    assert not torch.equal(other.codebooks[0], first.codebooks[0])


def test_codebooks_start_at_clusters_of_all_items():
    model = RQVAEModel(RQVAEConfig(input_dim=16, **CONFIG)).eval()
    vectors = torch.as_tensor(clustered())
    model.set_input_statistics(vectors)
    before = float(model(vectors).quantization_loss)
    initialize_codebooks(model, vectors)
    output = model(vectors)
    assert float(output.quantization_loss) < 0.2 * before
    assert [len(output.codes[:, level].unique()) for level in range(3)] == [16, 16, 16]
    # Nearest codewords of a converged first level are means of their items, in the latents' own position.
    latents, code = output.latents.detach(), output.codes[:, 0]
    means = torch.stack([latents[code == c].mean(0) for c in range(16)])
    assert torch.allclose(means, model.codebooks[0].detach(), atol=0.3 * float(latents.std()))


def test_the_index_is_collision_free_and_says_how_it_was_made(tmp_path):
    vectors = np.repeat(clustered(60), 2, axis=0)
    names = [f"i{row}" for row in range(120)]
    index = build_index(vectors, names, indexer="rqvae", codebook_size=16, steps=60, model_dir=tmp_path)
    report = index.report()
    assert index.is_unique and report["indexer"] == "rqvae" and report["collisions_before"] == 120
    model = AutoModel.from_pretrained(tmp_path)
    kept = model.encode(torch.as_tensor(vectors)).numpy()
    changed = (kept != index.codes).any(axis=1)
    assert changed.mean() == pytest.approx(report["items_moved"]) and 0.4 <= changed.mean() < 0.8
    assert all(np.allclose(a, b.detach()) for a, b in zip(index.codebooks, model.codebooks, strict=True))


def test_budgets_follow_the_catalogue():
    assert default_batch_size(600) == 64 and default_batch_size(12_101) == 256 and default_batch_size(10**7) == 2048
    assert default_steps(12_101, 256) == 2000
    assert default_steps(10**6, 2048) == 20 * 489


def test_the_recipe_saves_index_and_model(dataset, tmp_path, capsys):
    dataset.save(tmp_path / "data")
    options = ["--dataset", str(tmp_path / "data"), "--output_dir", str(tmp_path / "index"), "--levels", "2"]
    build_index_command.main([*options, "--indexer", "rqvae", "--indexer_options", json.dumps({"steps": 30})])
    assert ItemIndex.from_pretrained(tmp_path / "index").is_unique
    assert AutoModel.from_pretrained(tmp_path / "index" / "rqvae").config.codebook_sizes == [8, 8]
    assert "rqvae" in capsys.readouterr().out


def test_the_recipe_names_an_option_that_the_indexer_does_not_have(tmp_path):
    options = ["--dataset", "demo", "--output_dir", str(tmp_path / "index"), "--indexer_options", '{"stepps": 3}']
    with pytest.raises(ValueError, match="stepps.*of kmeans are.*iterations"):
        build_index_command.main(options)
