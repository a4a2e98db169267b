"""Configuration of the text encoder."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

HISTORY_ENCODERS = ("transformer", "text")


@strict
class TextEncoderConfig(PreTrainedConfig):
    r"""Configuration of a [`TextEncoderModel`].

    Args:
        num_items (`int`, defaults to 1000): catalogue size; item rows are 0 to ``num_items - 1``.
        text_size (`int`, defaults to 384): width of the items' text vectors.
        history_encoder (`str`, defaults to `"transformer"`): what makes a vector of a history: a ``transformer`` over
            the adapted vectors of its items, or the sentence-transformers model itself, fine-tuned, from the ``text``
            of its last titles. With ``text`` there are no layers and no adaptor, and the sizes below are not used.
        hidden_size (`int`, defaults to 128): width of the adapted item vectors and hidden states.
        num_hidden_layers (`int`, defaults to 2): number of transformer blocks.
        num_attention_heads (`int`, defaults to 4): attention heads per block.
        intermediate_size (`int`, *optional*): width of the feed-forward layers. Default: the hidden size.
        max_position_embeddings (`int`, defaults to 50): number of the latest items of a history that are read.
        hidden_dropout (`float`, defaults to 0.2): dropout on the item vectors of a history and on the output of each
            sub-layer.
        initializer_range (`float`, defaults to 0.02): standard deviation of the initial weights.
        score_temperature (`float`, defaults to 0.12): scores are cosines divided by it.
        num_negatives (`int`, defaults to 512): number of sampled negatives, drawn once per batch and shared by its
            positions, uniformly from the items with training interactions; 0: all of these items.
        repeat_bias (`bool`, defaults to `True`): add one learned number to the scores of the items of the history.
        query_titles (`int`, defaults to 5): number of the last titles in a query, the ``text`` of a history.
        query_prefix (`str`, defaults to `"next after: "`): what a query begins with, unlike an item's text:
            otherwise an item would be as near to the one before it as to the one after it.
    """

    model_type = "text_encoder"

    num_items: int = 1000
    text_size: int = 384
    history_encoder: str = "transformer"
    hidden_size: int = 128
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    intermediate_size: int | None = None
    max_position_embeddings: int = 50
    hidden_dropout: float | int = 0.2
    initializer_range: float = 0.02
    score_temperature: float | int = 0.12
    num_negatives: int = 512
    repeat_bias: bool = True
    query_titles: int = 5
    query_prefix: str = "next after: "

    def __post_init__(self, **kwargs):
        if self.intermediate_size is None:
            self.intermediate_size = self.hidden_size
        self.auto_map = {
            "AutoConfig": "configuration_text_encoder.TextEncoderConfig",
            "AutoModel": "modeling_text_encoder.TextEncoderModel",
        }
        super().__post_init__(**kwargs)

    def validate_choices(self):
        """Check that options have one of their values and that sizes are consistent."""
        if self.history_encoder not in HISTORY_ENCODERS:
            raise ValueError(f"history_encoder must be one of {HISTORY_ENCODERS}, got {self.history_encoder!r}")
        for name in ("hidden_size", "num_attention_heads", "num_hidden_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of num_attention_heads "
                f"({self.num_attention_heads})"
            )
        for name in ("num_items", "text_size", "max_position_embeddings", "score_temperature", "query_titles"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.num_negatives < 0:
            raise ValueError(f"num_negatives must not be negative, got {self.num_negatives}")


__all__ = ["TextEncoderConfig"]
