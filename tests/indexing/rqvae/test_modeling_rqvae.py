"""RQ-VAE: losses by hand, uniform semantic mapping, saving, loading with and without the package."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from torch.utils.data import TensorDataset
from transformers import AutoConfig, AutoModel, Trainer, TrainingArguments

import hf_llmrec  # noqa: F401  (registers the model)
from hf_llmrec.indexing.rqvae.configuration_rqvae import RQVAEConfig
from hf_llmrec.indexing.rqvae.modeling_rqvae import RQVAEModel


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = RQVAEConfig(input_dim=12, hidden_sizes=[16, 8], codebook_dim=4, codebook_sizes=[6, 6, 5])
    model = RQVAEModel(config)
    model.set_input_statistics(embeddings())
    return model.eval()


def embeddings(count: int = 40) -> torch.Tensor:
    return torch.randn(count, 12, generator=torch.Generator().manual_seed(1)) * 3 + 1


def test_default_sizes_are_the_papers_and_follow_small_inputs():
    config = RQVAEConfig(input_dim=4096)
    assert config.hidden_sizes == [2048, 1024, 512, 256, 128, 64] and config.codebook_dim == 32
    assert config.codebook_sizes == [256] * 4 and config.commitment_weight == 0.25
    assert config.sinkhorn_epsilons == [0.0, 0.0, 0.0, 0.003] and config.sinkhorn_iterations == 50
    assert RQVAEConfig(input_dim=384).hidden_sizes[0] == 2048
    small = RQVAEConfig(input_dim=8)
    assert small.hidden_sizes == [64] and small.codebook_dim == 8


@pytest.mark.parametrize(
    "options", [{"codebook_sizes": []}, {"sinkhorn_epsilons": [0.1]}, {"sinkhorn_epsilons": [0, 0, 0, -1]}]
)
def test_levels_without_codes_or_epsilon_are_refused(options):
    with pytest.raises(StrictDataclassClassValidationError, match=next(iter(options))):
        RQVAEConfig(**options)


def test_decoder_mirrors_the_encoder(model):
    shapes = [tuple(layer.weight.shape) for layer in model.encoder if hasattr(layer, "weight")]
    mirror = [tuple(layer.weight.shape)[::-1] for layer in model.decoder if hasattr(layer, "weight")][::-1]
    assert shapes == mirror == [(16, 12), (8, 16), (4, 8)]


def test_losses_and_codes_by_hand(model):
    output = model(embeddings())
    scaled = (embeddings() - embeddings().mean(0)) / (embeddings() - embeddings().mean(0)).pow(2).mean().sqrt()
    latent = model.encoder(scaled).detach().numpy().astype(np.float64)
    residual, total, quantized = latent.copy(), 0.0, np.zeros_like(latent)
    for level, book in enumerate(model.codebooks):
        book = book.detach().numpy()
        codes = ((residual[:, None] - book[None]) ** 2).sum(-1).argmin(1)
        assert (output.codes[:, level].numpy() == codes).all()
        total += 1.25 * ((residual - book[codes]) ** 2).mean()
        residual, quantized = residual - book[codes], quantized + book[codes]
    rebuilt = model.decoder(torch.tensor(quantized, dtype=torch.float32))
    expected = float((rebuilt - scaled).detach().pow(2).mean())
    assert float(output.reconstruction_loss) == pytest.approx(expected, rel=1e-4)
    assert float(output.quantization_loss) == pytest.approx(total, rel=1e-4)
    assert float(output.loss.detach()) == pytest.approx(expected + total, rel=1e-4)
    assert torch.allclose(model.decode(output.codes), output.reconstruction, atol=1e-4)
    assert torch.equal(model.encode(embeddings()), output.codes)


def test_gradients_pass_straight_through_to_the_encoder(model):
    output = model(embeddings())
    scaled = model._standardize(embeddings())
    loss = torch.nn.functional.mse_loss(model._standardize(output.reconstruction), scaled)
    (gradient,) = torch.autograd.grad(loss, output.latents)
    quantized = output.quantized.detach().requires_grad_()
    direct = torch.nn.functional.mse_loss(model.decoder(quantized), scaled)
    (expected,) = torch.autograd.grad(direct, quantized)
    assert torch.allclose(gradient, expected, atol=1e-7)


def test_every_parameter_learns(model):
    model.train()
    model(embeddings(400)).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_training_spreads_the_last_level_evenly_and_evaluation_takes_the_nearest(model):
    with torch.no_grad():  # one codeword is everybody's nearest
        model.codebooks[2][1:] += 5.0
    inputs = embeddings(100)
    nearest = model.encode(inputs)[:, 2]
    assert nearest.unique().numel() == 1
    balanced = model.train()(inputs).codes[:, 2]
    assert torch.bincount(balanced, minlength=5).min() >= 10
    assert torch.equal(model.eval()(inputs).codes[:, 2], nearest)


def test_without_quantisation_it_is_an_autoencoder(model):
    output = model(embeddings(), quantize=False)
    assert output.codes is None and float(output.quantization_loss) == 0
    assert torch.equal(output.quantized, output.latents)


def test_inputs_of_another_width_are_refused(model):
    with pytest.raises(ValueError, match=r"\(batch, 12\)"):
        model(torch.zeros(2, 5))


def test_saved_and_loaded(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert type(again) is RQVAEModel and not again.training
    assert torch.equal(again.encode(embeddings()), model.encode(embeddings()))
    assert torch.equal(again.input_mean, model.input_mean)
    assert AutoConfig.from_pretrained(tmp_path).to_dict() == again.config.to_dict()


def test_remote_code_alone_loads_it(model, tmp_path):
    model.save_pretrained(tmp_path / "repo")
    names = {path.name for path in (tmp_path / "repo").iterdir()}
    assert {"modeling_rqvae.py", "configuration_rqvae.py", "sinkhorn.py", "model.safetensors"} <= names
    torch.save({"inputs": embeddings(), "codes": model.encode(embeddings())}, tmp_path / "expected.pt")
    script = (
        "import sys, torch; from transformers import AutoModel\n"
        f"model = AutoModel.from_pretrained({str(tmp_path / 'repo')!r}, trust_remote_code=True)\n"
        f"kept = torch.load({str(tmp_path / 'expected.pt')!r})\n"
        "assert torch.equal(model.encode(kept['inputs']), kept['codes'])\n"
        "assert model.train()(kept['inputs']).loss.isfinite()\n"
        "assert not any(name.startswith('hf_llmrec') for name in sys.modules)\n"
    )
    environment = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr


def test_a_plain_trainer_trains_it(model, tmp_path):
    inputs = embeddings(200)
    before = float(model.train()(inputs).loss.detach())
    arguments = TrainingArguments(
        tmp_path, max_steps=60, per_device_train_batch_size=50, learning_rate=1e-2, report_to="none", use_cpu=True
    )
    collate = lambda rows: {"embeddings": torch.stack([row[0] for row in rows])}  # noqa: E731
    arguments.remove_unused_columns = False
    Trainer(model, arguments, train_dataset=TensorDataset(inputs), data_collator=collate).train()
    assert float(model(inputs).loss.detach()) < 0.8 * before
