"""Configuration of the RQ-VAE."""

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
            Default: 2048-1024-512-256-128-64, without the layers wider than eight times the input; 64 always stays.
        codebook_dim (`int`, *optional*): width of latents and codewords. Default: 32, or the input's width where that
            is smaller.
        codebook_sizes (`list[int]`, defaults to four levels of 256): codes per level.
        commitment_weight (`float`, defaults to 0.25): beta, weight of the pull of the encoder towards its codewords.
        quantization_weight (`float`, defaults to 1.0): weight of the quantisation loss beside the reconstruction.
        sinkhorn_epsilons (`list[float]`, *optional*): entropy of the balanced assignment per level in training; 0 takes
            the nearest codeword. Default: 0.003 on the last level only (uniform semantic mapping, section 3.2.2).
        sinkhorn_iterations (`int`, defaults to 50): of Sinkhorn-Knopp.
        collaborative_dim (`int`, *optional*): width of the collaborative vectors that training aligns the quantised
            vectors with. Default: no alignment.
        alignment_weight (`float`, defaults to 0.1): weight of the alignment loss.
        alignment_temperature (`float`, defaults to 0.1): of its cosines.
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

    def validate_levels(self):
        """Every level has codes and an epsilon."""
        if not self.codebook_sizes or min(self.codebook_sizes) < 1:
            raise ValueError(f"codebook_sizes must be positive, got {self.codebook_sizes}")
        if len(self.sinkhorn_epsilons) != len(self.codebook_sizes) or min(self.sinkhorn_epsilons) < 0:
            raise ValueError(
                f"sinkhorn_epsilons must be one value >= 0 per level ({len(self.codebook_sizes)}), "
                f"got {self.sinkhorn_epsilons}"
            )

    def validate_alignment(self):
        """Temperature and weight make sense."""
        if self.alignment_weight < 0 or self.alignment_temperature <= 0:
            raise ValueError("alignment_weight must not be negative, and alignment_temperature positive")


__all__ = ["RQVAEConfig"]
