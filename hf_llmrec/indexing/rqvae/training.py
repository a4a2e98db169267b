"""Training of the RQ-VAE indexer (arXiv 2311.09049, section 3.2)."""

from __future__ import annotations

import logging
import math

import numpy as np
import torch
from tqdm.auto import tqdm

from ..kmeans import residual_kmeans
from ..quantization import Quantization, variance_unexplained
from .configuration_rqvae import RQVAEConfig
from .modeling_rqvae import RQVAEModel

logger = logging.getLogger(__name__)

WARMUP_STEPS = 50


def default_batch_size(num_items: int) -> int:
    """Default number of items per step: a power of two from 64 to 2,048, with about 48 steps per epoch.

    Args:
        num_items: number of items in the catalogue.
    """
    return int(min(max(2 ** round(math.log2(max(num_items / 48, 1))), 64), 2048))


def default_steps(num_items: int, batch_size: int) -> int:
    """Default number of optimizer steps: 2,000, or 20 epochs if that is more.

    Args:
        num_items: number of items in the catalogue.
        batch_size: number of items per step.
    """
    return max(2000, 20 * math.ceil(num_items / batch_size))


def train_rqvae(
    embeddings: np.ndarray,
    config: RQVAEConfig,
    *,
    collaborative: np.ndarray | None = None,
    seed: int = 0,
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float = 1e-3,
    device: str | torch.device | None = None,
) -> RQVAEModel:
    """Train an RQ-VAE on a catalogue.

    The first sixth of the steps trains only encoder and decoder, so that the latents are meaningful when residual
    k-means on *all* items initialises the codebooks; the remaining steps train everything. The optimizer is AdamW
    without weight decay, with a cosine schedule.

    Args:
        embeddings: float (n, config.input_dim), all items.
        config: configuration of the model.
        collaborative: float (n, config.collaborative_dim), vectors for the alignment loss, zeros for items without one;
            ``None``: no alignment loss.
        seed: seed of the initialisation and of the order of the items.
        steps: number of optimizer steps. Default: see `default_steps`.
        batch_size: number of items per step. Default: see `default_batch_size`.
        learning_rate: peak learning rate.
        device: where to train. Default: the accelerator if there is one, else the CPU.

    Returns:
        The model on the CPU, in evaluation mode.

    Raises:
        RuntimeError: the loss is no longer finite.
    """
    batch_size = batch_size or default_batch_size(len(embeddings))
    steps = steps or default_steps(len(embeddings), batch_size)
    if device is None:
        device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = RQVAEModel(config)
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.as_tensor(np.asarray(embeddings, dtype=np.float32))
    model.set_input_statistics(inputs)
    model.to(device).train()  # pyright: ignore[reportArgumentType]  # the stub's `to` takes no self
    inputs = inputs.to(device)
    others = None if collaborative is None else torch.as_tensor(np.asarray(collaborative, np.float32)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1.0, (step + 1) / WARMUP_STEPS) * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2),
    )
    batches = _batches(len(inputs), batch_size, generator)
    progress = tqdm(range(steps), desc="training the RQ-VAE", mininterval=1.0)
    for step in progress:
        if step == steps // 6:
            initialize_codebooks(model, inputs, seed)
        rows = next(batches).to(device)
        output = model(
            inputs[rows], quantize=step >= steps // 6, collaborative=None if others is None else others[rows]
        )
        optimizer.zero_grad()
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps - 1:
            loss = float(output.loss.detach())
            if not math.isfinite(loss):
                raise RuntimeError(f"RQ-VAE training diverged at step {step}: lower the learning rate")
            progress.set_postfix(
                reconstruction=f"{float(output.reconstruction_loss):.3f}", loss=f"{loss:.3f}", refresh=False
            )
    return model.cpu().eval()


def _batches(count: int, batch_size: int, generator: torch.Generator):
    """Yield batches of row numbers, int64 (<= batch_size,), forever; every epoch is a new permutation."""
    while True:
        yield from torch.randperm(count, generator=generator).split(batch_size)


@torch.no_grad()
def initialize_codebooks(model: RQVAEModel, embeddings: torch.Tensor, seed: int = 0) -> None:
    """Initialise the codebooks by residual k-means of the latents of all items.

    Args:
        model: the model, whose codebooks are overwritten.
        embeddings: float (n, input_dim), all items.
        seed: seed of k-means.
    """
    latents = torch.cat([model.latents(part) for part in embeddings.split(4096)]).float().cpu().numpy()
    sizes = model.config.codebook_sizes
    quantization = residual_kmeans(latents, len(sizes), max(sizes), seed=seed, iterations=10)
    # residual_kmeans centres its inputs; the mean is added to the first level, the only one that is not of residuals.
    first, *others = quantization.codebooks
    for codebook, values in zip(model.codebooks, [first + latents.mean(axis=0), *others], strict=True):
        codebook.copy_(torch.as_tensor(values[: len(codebook)]))


@torch.no_grad()
def rqvae_quantization(model: RQVAEModel, embeddings: np.ndarray) -> Quantization:
    """Quantise a catalogue by a trained RQ-VAE, in the space of its latents.

    Args:
        model: the trained model.
        embeddings: float (n, input_dim), all items.
    """
    model.eval()
    inputs = torch.as_tensor(np.asarray(embeddings, dtype=np.float32)).to(model.device)
    latents = torch.cat([model.latents(part) for part in inputs.split(4096)])
    codes = torch.cat([model.quantize(part)[1] for part in latents.split(4096)])
    reconstruction = torch.cat([model.decode(part) for part in codes.split(4096)])
    return Quantization(
        codes.cpu().numpy().astype(np.int32),
        [book.detach().float().cpu().numpy() for book in model.codebooks],
        latents.float().cpu().numpy(),
        variance_unexplained(embeddings, reconstruction.float().cpu().numpy()),
        model,
    )


def train_rqvae_quantization(
    embeddings: np.ndarray,
    levels: int,
    codebook_size: int,
    *,
    collaborative: np.ndarray | None = None,
    seed: int = 0,
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float = 1e-3,
    alignment_weight: float = 0.1,
) -> Quantization:
    """Train an RQ-VAE with the paper's layers on a catalogue, and quantise the catalogue with it.

    Args:
        embeddings: float (n, d), all items.
        levels: number of codes per item.
        codebook_size: number of codes per level.
        collaborative: float (n, e), vectors for the alignment loss, zeros for items without one; ``None``: no alignment
            loss.
        seed: seed of the initialisation and of the order of the items.
        steps: number of optimizer steps. Default: see `default_steps`.
        batch_size: number of items per step. Default: see `default_batch_size`.
        learning_rate: peak learning rate.
        alignment_weight: weight of the alignment loss.
    """
    config = RQVAEConfig(
        input_dim=int(embeddings.shape[1]),
        codebook_sizes=[codebook_size] * levels,
        collaborative_dim=None if collaborative is None else int(collaborative.shape[1]),
        alignment_weight=alignment_weight,
    )
    model = train_rqvae(
        embeddings,
        config,
        collaborative=collaborative,
        seed=seed,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
    )
    return rqvae_quantization(model, embeddings)
