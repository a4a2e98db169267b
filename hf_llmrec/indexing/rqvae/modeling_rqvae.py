"""RQ-VAE: an autoencoder whose latent is a sum of one codeword per level (arXiv 2311.09049, section 3.2.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel, initialization
from transformers.utils.generic import ModelOutput

from .configuration_rqvae import RQVAEConfig
from .sinkhorn import sinkhorn


@dataclass
class RQVAEOutput(ModelOutput):
    """Output of [`RQVAEModel`].

    Args:
        loss: float (), ``reconstruction_loss + quantization_weight * quantization_loss``; with collaborative vectors
            ``+ alignment_weight * alignment_loss``.
        reconstruction: float (batch, input_dim), in the space of the inputs.
        codes: int64 (batch, levels); ``None`` without quantisation.
        latents: float (batch, codebook_dim), the encoder's output.
        quantized: float (batch, codebook_dim), the sum of the codewords.
        reconstruction_loss: float (), mean squared error in units of the inputs' variance.
        quantization_loss: float (), codebook and commitment terms, summed over the levels.
        alignment_loss: float (), InfoNCE of quantised against collaborative vectors; ``None`` if there are none.
    """

    loss: torch.Tensor | None = None
    reconstruction: torch.Tensor | None = None
    codes: torch.Tensor | None = None
    latents: torch.Tensor | None = None
    quantized: torch.Tensor | None = None
    reconstruction_loss: torch.Tensor | None = None
    quantization_loss: torch.Tensor | None = None
    alignment_loss: torch.Tensor | None = None


def _mlp(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, following in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(width, following), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class RQVAEPreTrainedModel(PreTrainedModel):
    """Base class of [`RQVAEModel`]: its configuration and how weights are initialised."""

    config: RQVAEConfig
    config_class = RQVAEConfig
    base_model_prefix = "rqvae"
    main_input_name = "embeddings"

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            # He initialisation: with transformers' 0.02, the signal would vanish in twelve ReLU layers.
            initialization.kaiming_normal_(module.weight, nonlinearity="relu")
            initialization.zeros_(module.bias)
        elif isinstance(module, RQVAEModel):
            for codebook in module.codebooks:
                initialization.normal_(codebook, std=codebook.shape[1] ** -0.5)
            initialization.zeros_(module.input_mean)
            initialization.ones_(module.input_scale)


class RQVAEModel(RQVAEPreTrainedModel):
    """Encodes item embeddings as codes and decodes codes to embeddings.

    In training mode, levels with a Sinkhorn epsilon distribute the batch evenly over their codes (uniform semantic
    mapping, section 3.2.2); in evaluation mode, every level takes the nearest codeword. Different items may get the
    same codes: `hf_llmrec.build_index` makes them unique.

    Args:
        config: the configuration.

    Example:

    ```python
    >>> model = RQVAEModel(RQVAEConfig(input_dim=384))
    >>> codes = model.encode(embeddings)    # int64 (batch, 4)
    >>> vectors = model.decode(codes)       # float (batch, 384)
    ```
    """

    input_mean: torch.Tensor
    input_scale: torch.Tensor

    def __init__(self, config: RQVAEConfig):
        super().__init__(config)
        widths = config.layer_widths()
        codebook_dim = widths[-1]
        self.encoder = _mlp(widths)
        self.decoder = _mlp(widths[::-1])
        self.codebooks = nn.ParameterList(
            nn.Parameter(torch.empty(size, codebook_dim)) for size in config.codebook_sizes
        )
        self.alignment_head = (
            None if config.collaborative_dim is None else nn.Linear(codebook_dim, config.collaborative_dim)
        )
        # Mean and standard deviation of the inputs, so that embeddings go in and come out in their own units.
        self.register_buffer("input_mean", torch.zeros(config.input_dim))
        self.register_buffer("input_scale", torch.ones(()))
        self.post_init()

    @torch.no_grad()
    def set_input_statistics(self, embeddings: torch.Tensor) -> None:
        """Store the mean (per dimension) and the standard deviation (one number) of the inputs.

        Args:
            embeddings: float (n, input_dim), usually all items.
        """
        self.input_mean.copy_(embeddings.mean(dim=0))
        deviation = (embeddings - self.input_mean.to(embeddings)).pow(2).mean().sqrt()
        self.input_scale.copy_(deviation if deviation > 0 else torch.ones_like(deviation))

    def _standardize(self, embeddings: torch.Tensor) -> torch.Tensor:
        if embeddings.ndim != 2 or embeddings.shape[1] != self.config.input_dim:
            raise ValueError(f"embeddings must be (batch, {self.config.input_dim}), got {tuple(embeddings.shape)}")
        return (embeddings.to(self.input_mean.dtype) - self.input_mean) / self.input_scale

    def latents(self, embeddings: torch.Tensor) -> torch.Tensor:
        """The encoder's output before quantisation.

        Args:
            embeddings: float (batch, input_dim).

        Returns:
            float (batch, codebook_dim).
        """
        return self.encoder(self._standardize(embeddings))

    def quantize(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Residual quantisation.

        Args:
            latents: float (batch, codebook_dim).

        Returns:
            quantized float (batch, codebook_dim); codes int64 (batch, levels); quantisation loss float ().
        """
        residual, quantized, loss, codes = latents, torch.zeros_like(latents), latents.new_zeros(()), []
        for codebook, epsilon in zip(self.codebooks, self.config.sinkhorn_epsilons or (), strict=True):
            with torch.no_grad():
                distances = torch.cdist(residual, codebook).square()
                if self.training and epsilon > 0:
                    level_codes = sinkhorn(distances, epsilon, self.config.sinkhorn_iterations).argmax(dim=1)
                else:
                    level_codes = distances.argmin(dim=1)
            codewords = F.embedding(level_codes, codebook)
            loss = loss + F.mse_loss(codewords, residual.detach())
            loss = loss + self.config.commitment_weight * F.mse_loss(residual, codewords.detach())
            quantized = quantized + codewords
            residual = residual - codewords.detach()
            codes.append(level_codes)
        return quantized, torch.stack(codes, dim=1), loss

    @torch.no_grad()
    def encode(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Encode embeddings as codes.

        Args:
            embeddings: float (batch, input_dim).

        Returns:
            int64 (batch, levels).
        """
        return self.quantize(self.latents(embeddings))[1]

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Decode codes to embeddings.

        Args:
            codes: int64 (batch, levels).

        Returns:
            float (batch, input_dim).
        """
        quantized = F.embedding(codes[:, 0], self.codebooks[0])
        for level in range(1, len(self.codebooks)):
            quantized = quantized + F.embedding(codes[:, level], self.codebooks[level])
        return self.decoder(quantized) * self.input_scale + self.input_mean

    def alignment_loss(self, quantized: torch.Tensor, collaborative: torch.Tensor) -> torch.Tensor:
        """Symmetric InfoNCE within the batch: an item's codes should identify its collaborative vector.

        Args:
            quantized: float (batch, codebook_dim).
            collaborative: float (batch, collaborative_dim); items with a row of zeros are left out.

        Returns:
            float (), 0 with fewer than two items.

        Raises:
            ValueError: the configuration has no ``collaborative_dim``.
        """
        has_vector = collaborative.abs().sum(1) > 0
        if self.alignment_head is None:
            raise ValueError("collaborative vectors need a model with collaborative_dim")
        mapped = F.normalize(self.alignment_head(quantized[has_vector]), dim=-1)
        targets = F.normalize(collaborative[has_vector].to(mapped), dim=-1)
        similarity = mapped @ targets.T / self.config.alignment_temperature
        if len(similarity) < 2:
            return similarity.sum() * 0
        own = torch.arange(len(similarity), device=similarity.device)
        return (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)) / 2

    def forward(
        self,
        embeddings: torch.Tensor,
        quantize: bool = True,
        collaborative: torch.Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs,
    ) -> RQVAEOutput | tuple:
        """Reconstruct a batch and compute the training loss.

        Args:
            embeddings: float (batch, input_dim).
            quantize: use the codebooks. False gives a plain autoencoder, to warm up encoder and decoder; the codes of
                the output are then ``None``.
            collaborative: float (batch, collaborative_dim), vectors of the same items from a collaborative model, for
                the alignment loss; zeros for items without one. ``None``: no alignment loss.
            return_dict: False returns a tuple instead of an `RQVAEOutput`.
            kwargs: ignored.
        """
        inputs = self._standardize(embeddings)
        latents = self.encoder(inputs)
        if quantize:
            quantized, codes, quantization_loss = self.quantize(latents)
        else:
            quantized, codes, quantization_loss = latents, None, latents.new_zeros(())
        # Straight-through estimator: the decoder reads the codewords, and the encoder gets the decoder's gradient.
        decoder_input = latents + (quantized - latents).detach()
        reconstruction = self.decoder(decoder_input)
        reconstruction_loss = F.mse_loss(reconstruction, inputs)
        loss = reconstruction_loss + self.config.quantization_weight * quantization_loss
        alignment_loss = None if collaborative is None else self.alignment_loss(decoder_input, collaborative)
        if alignment_loss is not None:
            loss = loss + self.config.alignment_weight * alignment_loss
        output = RQVAEOutput(
            loss=loss,
            reconstruction=reconstruction * self.input_scale + self.input_mean,
            codes=codes,
            latents=latents,
            quantized=quantized,
            reconstruction_loss=reconstruction_loss.detach(),
            quantization_loss=quantization_loss.detach(),
            alignment_loss=None if alignment_loss is None else alignment_loss.detach(),
        )
        return output if return_dict in (None, True) else output.to_tuple()


RQVAEConfig.register_for_auto_class()
RQVAEModel.register_for_auto_class("AutoModel")

__all__ = ["RQVAEModel", "RQVAEOutput", "RQVAEPreTrainedModel"]
