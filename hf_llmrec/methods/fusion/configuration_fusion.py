"""Configuration of a fusion of recommenders."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class FusionConfig(PreTrainedConfig):
    r"""Configuration of a [`FusionModel`].

    Args:
        num_parts (`int`, defaults to 2): number of recommenders.
        num_groups (`int`, defaults to 1): groups of users with weights of their own: 1, or 2 (short and long
            histories).
    """

    model_type = "recommender_fusion"

    num_parts: int = 2
    num_groups: int = 1

    def __post_init__(self, **kwargs):
        self.auto_map = {
            "AutoConfig": "configuration_fusion.FusionConfig",
            "AutoModel": "modeling_fusion.FusionModel",
        }
        super().__post_init__(**kwargs)

    def validate_ranges(self):
        """Check that all values are in their ranges."""
        if self.num_parts < 1 or self.num_groups not in (1, 2):
            raise ValueError(
                f"num_parts must be positive and num_groups 1 or 2, got {self.num_parts}, {self.num_groups}"
            )


__all__ = ["FusionConfig"]
