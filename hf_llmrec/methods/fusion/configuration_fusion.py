"""Configuration of a fusion of recommenders."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class FusionConfig(PreTrainedConfig):
    r"""Configuration of a [`FusionModel`].

    Args:
        num_parts (`int`, defaults to 2): number of recommenders.
        mean_log_length (`float`, defaults to 0.0): `log(1 + length)` of the histories for which the weights hold
            as they are; see [`FusionModel`].
        num_items (`int`, defaults to 0): size of the catalogue, where items without training interactions have
            weights of their own; 0: they have the same weights as all items.
    """

    model_type = "recommender_fusion"

    num_parts: int = 2
    mean_log_length: int | float = 0.0
    num_items: int = 0

    def __post_init__(self, **kwargs):
        self.auto_map = {
            "AutoConfig": "configuration_fusion.FusionConfig",
            "AutoModel": "modeling_fusion.FusionModel",
        }
        super().__post_init__(**kwargs)

    def validate_ranges(self):
        """Check that all values are in their ranges."""
        if self.num_parts < 1:
            raise ValueError(f"num_parts must be positive, got {self.num_parts}")
        if self.num_items < 0:
            raise ValueError(f"num_items must not be negative, got {self.num_items}")


__all__ = ["FusionConfig"]
