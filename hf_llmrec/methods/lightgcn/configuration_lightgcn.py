"""Configuration of LightGCN."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class LightGCNConfig(PreTrainedConfig):
    r"""Configuration of a [`LightGCNModel`].

    Args:
        num_items (`int`, defaults to 1000): catalogue size; item rows are 0 to ``num_items - 1``.
        num_users (`int`, defaults to 0): number of users whose vectors are in the model; 0: users are described by
            their histories only.
        embedding_size (`int`, defaults to 64): width of the vectors.
        num_layers (`int`, defaults to 3): number of graph convolutions; their outputs and the embeddings are averaged.
    """

    model_type = "lightgcn"

    num_items: int = 1000
    num_users: int = 0
    embedding_size: int = 64
    num_layers: int = 3

    def __post_init__(self, **kwargs):
        self.auto_map = {
            "AutoConfig": "configuration_lightgcn.LightGCNConfig",
            "AutoModel": "modeling_lightgcn.LightGCNModel",
        }
        super().__post_init__(**kwargs)

    def validate_ranges(self):
        """Check that all values are in their ranges."""
        if min(self.num_items, self.embedding_size, self.num_layers) < 1 or self.num_users < 0:
            raise ValueError("num_items, embedding_size and num_layers must be positive, num_users not negative")


__all__ = ["LightGCNConfig"]
