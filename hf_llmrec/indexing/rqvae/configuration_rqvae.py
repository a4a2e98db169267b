"""The configuration of the RQ-VAE."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

# The paper's encoder (arXiv 2311.09049, section 4.1.4), widest first; the decoder is its mirror.
PAPER_HIDDEN_SIZES = (2048, 1024, 512, 256, 128, 64)


@strict
class RQVAEConfig(PreTrainedConfig):
    r"""Configuration of an [`RQVAEModel`].

    Args:
        input_dim (`int`, defaults to 768): width of the item embeddings.
        hidden_sizes (`list[int]`, *optional*): widths of the encoder's hidden layers; the decoder mirrors them.
            Default: 2048-1024-512-256-128-64 (section 4.1.4), without layers wider than eight times the input; 64 is
            always included.
        codebook_dim (`int`, *optional*): width of latents and codewords. Default: 32, or the input's width if that is
            smaller.
        codebook_sizes (`list[int]`, defaults to four levels of 256): number of codes per level.
        commitment_weight (`float`, defaults to 0.25): beta, weight of the commitment loss, which pulls the encoder's
            outputs towards their codewords.
        quantization_weight (`float`, defaults to 1.0): weight of the quantisation loss relative to the reconstruction
            loss.
        sinkhorn_epsilons (`list[float]`, *optional*): entropy of the balanced assignment per level in training; 0 takes
            the nearest codeword. Default: 0.003 on the last level only (uniform semantic mapping, section 3.2.2).
        sinkhorn_iterations (`int`, defaults to 50): number of iterations of Sinkhorn-Knopp.
        collaborative_dim (`int`, *optional*): width of the collaborative vectors that training aligns the quantised
            vectors with. Default: no alignment.
        alignment_weight (`float`, defaults to 0.1): weight of the alignment loss.
        alignment_temperature (`float`, defaults to 0.1): temperature of the alignment loss.
    """

    model_type = "rqvae"

    input_dim: int = 768
    hidden_sizes: list[int] | tuple[int, ...] | None = None
    codebook_dim: int | None = None
    codebook_sizes: list[int] | tuple[int, ...] = (256, 256, 256, 256)
    commitment_weight: float | int = 0.25
    quantization_weight: float | int = 1.0
    sinkhorn_epsilons: list[float | int] | tuple[float | int, ...] | None = None
    sinkhorn_iterations: int = 50
    collaborative_dim: int | None = None
    alignment_weight: float | int = 0.1
    alignment_temperature: float | int = 0.1

    def __post_init__(self, **kwargs):
        if self.hidden_sizes is None:
            self.hidden_sizes = [size for size in PAPER_HIDDEN_SIZES if size <= max(8 * self.input_dim, 64)]
        if self.codebook_dim is None:
            self.codebook_dim = min(32, self.input_dim)
        self.hidden_sizes, self.codebook_sizes = list(self.hidden_sizes), list(self.codebook_sizes)
        if self.sinkhorn_epsilons is None:
            self.sinkhorn_epsilons = [0.0] * (len(self.codebook_sizes) - 1) + [0.003]
        self.sinkhorn_epsilons = list(self.sinkhorn_epsilons)
        self.auto_map = {
            "AutoConfig": "configuration_rqvae.RQVAEConfig",
            "AutoModel": "modeling_rqvae.RQVAEModel",
        }
        super().__post_init__(**kwargs)

    def layer_widths(self) -> list[int]:
        """Widths of the encoder's layers, from the input to the latents.

        Raises:
            ValueError: ``hidden_sizes`` or ``codebook_dim`` was set to ``None`` after the configuration was created.
        """
        if self.hidden_sizes is None or self.codebook_dim is None:
            raise ValueError("hidden_sizes and codebook_dim must not be None")
        return [self.input_dim, *self.hidden_sizes, self.codebook_dim]

    def validate_levels(self):
        """Check that every level has codes and an epsilon.

        Raises:
            ValueError: a codebook size is not positive, or there is not one non-negative epsilon per level.
        """
        epsilons = self.sinkhorn_epsilons or ()
        if not self.codebook_sizes or min(self.codebook_sizes) < 1:
            raise ValueError(f"codebook_sizes must be positive, got {self.codebook_sizes}")
        if len(epsilons) != len(self.codebook_sizes) or min(epsilons) < 0:
            raise ValueError(
                f"sinkhorn_epsilons must be one value >= 0 per level ({len(self.codebook_sizes)}), "
                f"got {self.sinkhorn_epsilons}"
            )

    def validate_alignment(self):
        """Check the weight and the temperature of the alignment loss.

        Raises:
            ValueError: the weight is negative, or the temperature is not positive.
        """
        if self.alignment_weight < 0 or self.alignment_temperature <= 0:
            raise ValueError("alignment_weight must not be negative, and alignment_temperature positive")


__all__ = ["RQVAEConfig"]
