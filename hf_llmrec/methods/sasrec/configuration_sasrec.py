"""Configuration of SASRec."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

LOSSES = ("full_softmax", "sampled_softmax")
NEGATIVES = ("uniform", "in_batch")


@strict
class SASRecConfig(PreTrainedConfig):
    r"""Configuration of a [`SASRecModel`].

    Args:
        num_items (`int`, defaults to 1000): catalogue size; item rows are 0 to ``num_items - 1``.
        hidden_size (`int`, defaults to 128): width of the item vectors and hidden states.
        num_hidden_layers (`int`, defaults to 2): number of transformer blocks.
        num_attention_heads (`int`, defaults to 2): attention heads per block.
        intermediate_size (`int`, *optional*): width of the feed-forward layers. Default: the hidden size, as in the
            paper.
        max_position_embeddings (`int`, defaults to 50): number of the latest items of a history that are read.
        hidden_dropout (`float`, defaults to 0.3): dropout on the embeddings and on the output of each sub-layer.
        initializer_range (`float`, defaults to 0.02): standard deviation of the initial weights.
        cosine_scores (`bool`, defaults to `True`): score by the cosine divided by ``score_temperature``, instead of by
            the dot product.
        score_temperature (`float`, defaults to 0.1): temperature of cosine scores.
        loss (`str`, defaults to `"sampled_softmax"`): ``full_softmax`` over the catalogue, or ``sampled_softmax`` over
            the target and negatives.
        negatives (`str`, defaults to `"uniform"`): source of the sampled negatives: the catalogue (``uniform``) or the
            targets of the batch (``in_batch``).
        num_negatives (`int`, defaults to 512): number of uniform negatives, drawn once per batch and shared by its
            positions.
        repeat_bias (`bool`, defaults to `True`): add one learned number to the scores of the items of the history, so
            that the model learns how often people choose an item again. With sampled softmax these items are then
            always among the candidates.
        logq_correction (`bool`, defaults to `True`): subtract the logarithm of each candidate's expected number of
            draws, which makes the sampled softmax an estimate of the full one.
    """

    model_type = "sasrec"

    num_items: int = 1000
    hidden_size: int = 128
    num_hidden_layers: int = 2
    num_attention_heads: int = 2
    intermediate_size: int | None = None
    max_position_embeddings: int = 50
    hidden_dropout: float | int = 0.3
    initializer_range: float = 0.02
    cosine_scores: bool = True
    score_temperature: float = 0.1
    loss: str = "sampled_softmax"
    negatives: str = "uniform"
    num_negatives: int = 512
    repeat_bias: bool = True
    logq_correction: bool = True

    def __post_init__(self, **kwargs):
        if self.intermediate_size is None:
            self.intermediate_size = self.hidden_size
        self.auto_map = {
            "AutoConfig": "configuration_sasrec.SASRecConfig",
            "AutoModel": "modeling_sasrec.SASRecModel",
        }
        super().__post_init__(**kwargs)

    def validate_choices(self):
        """Check that options have one of their values and that sizes are consistent."""
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {LOSSES}, got {self.loss!r}")
        if self.negatives not in NEGATIVES:
            raise ValueError(f"negatives must be one of {NEGATIVES}, got {self.negatives!r}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of num_attention_heads "
                f"({self.num_attention_heads})"
            )
        if self.num_items < 1 or self.num_negatives < 1 or self.score_temperature <= 0:
            raise ValueError("num_items, num_negatives and score_temperature must be positive")


__all__ = ["SASRecConfig"]
