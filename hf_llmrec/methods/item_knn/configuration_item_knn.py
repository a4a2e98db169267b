"""Configuration of item-based nearest neighbours."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class ItemKNNConfig(PreTrainedConfig):
    r"""Configuration of an [`ItemKNNModel`].

    Args:
        num_items (`int`, defaults to 1000): catalogue size; item rows are 0 to ``num_items - 1``.
        num_neighbors (`int`, defaults to 200): number of neighbours that are stored per item.
        decay (`float`, defaults to 0.7): weight of an item of the history relative to the one after it, from 0 (only
            the last item counts) to 1 (all count alike).
        shrinkage (`float`, defaults to 0.0): added to the denominator of the cosine; larger values lower the
            similarity of items that rarely occur together.
    """

    model_type = "item_knn"

    num_items: int = 1000
    num_neighbors: int = 200
    decay: float | int = 0.7
    shrinkage: float | int = 0.0

    def __post_init__(self, **kwargs):
        self.auto_map = {
            "AutoConfig": "configuration_item_knn.ItemKNNConfig",
            "AutoModel": "modeling_item_knn.ItemKNNModel",
        }
        super().__post_init__(**kwargs)

    def validate_ranges(self):
        """Check that all values are in their ranges."""
        if not 0 <= self.decay <= 1:
            raise ValueError(f"decay must lie in [0, 1], got {self.decay}")
        if self.num_items < 1 or self.num_neighbors < 1 or self.shrinkage < 0:
            raise ValueError("num_items and num_neighbors must be positive, shrinkage must not be negative")


__all__ = ["ItemKNNConfig"]
