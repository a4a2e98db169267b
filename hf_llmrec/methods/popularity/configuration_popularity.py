"""Configuration of the popularity baseline."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class PopularityConfig(PreTrainedConfig):
    r"""Configuration of a [`PopularityModel`].

    Args:
        num_items (`int`, defaults to 1000): catalogue size; item rows are 0 to ``num_items - 1``.
    """

    model_type = "item_popularity"

    num_items: int = 1000

    def __post_init__(self, **kwargs):
        self.auto_map = {
            "AutoConfig": "configuration_popularity.PopularityConfig",
            "AutoModel": "modeling_popularity.PopularityModel",
        }
        super().__post_init__(**kwargs)


__all__ = ["PopularityConfig"]
