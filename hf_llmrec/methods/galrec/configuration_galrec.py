"""Configuration of GAL-Rec."""

from typing import cast

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

REC_LOSSES = ("full_softmax", "sampled_softmax")
# Tokens that are neither text nor entities, in the order of their ids. USER is the user that the example is about.
SPECIAL_TOKENS = ("USER_0", "USER_1", "USER_2", "USER_3", "ITEM_0", "ITEM_1", "REC", "USER")


@strict
class GALRecConfig(PreTrainedConfig):
    r"""Configuration of a [`GALRecModel`].

    Args:
        text_config (`PreTrainedConfig` or `dict`, *optional*): configuration of the backbone, any stock causal language
            model. Default: a Llama with its default sizes.
        num_items (`int`, defaults to 1000): catalogue size; item rows are 0 to ``num_items - 1``.
        external_sizes (`dict`, *optional*): width of each kind of external embedding, such as ``{"text": 384,
            "collaborative": 128}``, stored in alphabetical order. Default: one kind, ``text``, of width 64.
        mapping_size (`int`, *optional*): hidden width of the mapping layers (section 4.2). Default: the backbone's.
        item_residual (`bool`, defaults to `True`): learn a vector per item that is added to the mapped ones.
        projection_size (`int`, defaults to 128): width of the projections that the contrastive losses compare.
        entity_scale (`float`, defaults to 0.2): initial value of the learned factor between entity vectors (of about
            unit length) and input embeddings.
        external_dropout (`float`, defaults to 0.0): probability of dropping a kind of external embedding of an item,
            independently for each kind, in training.
        embedding_dropout (`float`, defaults to 0.0): dropout on the input embeddings, in training.
        rec_dropout (`float`, defaults to 0.0): dropout on what `[REC]` adds to the state of the last item, in training.
        score_temperature (`float`, defaults to 0.1): item scores are cosines divided by it.
        repeat_bias (`bool`, defaults to `True`): add one learned number to the scores of the history's items.
        rec_weight (`float`, defaults to 1.0): weight of a target at `[REC]` relative to one at a position of the
            history.
        rec_loss (`str`, defaults to `"full_softmax"`): ``full_softmax`` over the catalogue, or ``sampled_softmax`` over
            the target, the history and negatives.
        num_negatives (`int`, defaults to 512): uniform negatives of the sampled softmax, drawn once per batch.
        tie_word_embeddings (`bool`, defaults to `False`): whether the text head shares the input embeddings; always
            taken from ``text_config``.
    """

    model_type = "galrec"
    sub_configs_defaults = {"text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama")}

    text_config: dict | PreTrainedConfig | None = None
    num_items: int = 1000
    external_sizes: dict | None = None
    mapping_size: int | None = None
    item_residual: bool = True
    projection_size: int = 128
    entity_scale: float | int = 0.2
    external_dropout: float | int = 0.0
    embedding_dropout: float | int = 0.0
    rec_dropout: float | int = 0.0
    score_temperature: float | int = 0.1
    repeat_bias: bool = True
    rec_weight: float | int = 1.0
    rec_loss: str = "full_softmax"
    num_negatives: int = 512
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        # In the order that JSON stores: layers and columns follow it.
        self.external_sizes = dict(sorted((self.external_sizes or {"text": 64}).items()))
        self.auto_map = {
            "AutoConfig": "configuration_galrec.GALRecConfig",
            "AutoModel": "modeling_galrec.GALRecModel",
            "AutoModelForCausalLM": "modeling_galrec.GALRecForCausalLM",
        }
        super().__post_init__(**kwargs)
        self.tie_word_embeddings = bool(self.backbone_config.tie_word_embeddings)

    @property
    def backbone_config(self) -> PreTrainedConfig:
        """Configuration of the backbone: `text_config`, which is an object once `__post_init__` has run."""
        return cast(PreTrainedConfig, self.text_config)

    @property
    def external_widths(self) -> dict[str, int]:
        """Width of each kind of external embedding: `external_sizes`, which is set once `__post_init__` has run."""
        return cast("dict[str, int]", self.external_sizes)

    @property
    def hidden_size(self) -> int:
        """Width of the backbone."""
        return self.backbone_config.hidden_size

    @property
    def vocab_size(self) -> int:
        """Number of text tokens, whose ids come first."""
        return self.backbone_config.vocab_size

    @property
    def external_size(self) -> int:
        """Width of all kinds of external embeddings, concatenated."""
        return sum(self.external_widths.values())

    @property
    def special_token_ids(self) -> dict[str, int]:
        """Ids of the read-outs and of the user that the example is about, by name."""
        return {name: self.vocab_size + place for place, name in enumerate(SPECIAL_TOKENS)}

    @property
    def first_item_id(self) -> int:
        """Id of item row 0."""
        return self.vocab_size + len(SPECIAL_TOKENS)

    @property
    def first_user_id(self) -> int:
        """Id of user row 0."""
        return self.first_item_id + self.num_items

    def validate_choices(self):
        """Refuse unknown options, sizes that are not positive, and dropout outside [0, 1)."""
        if self.rec_loss not in REC_LOSSES:
            raise ValueError(f"rec_loss must be one of {REC_LOSSES}, got {self.rec_loss!r}")
        sizes = self.external_sizes
        if sizes is not None and (not sizes or any(not isinstance(size, int) or size < 1 for size in sizes.values())):
            raise ValueError(f"external_sizes must give a positive width for each kind of embedding, got {sizes}")
        for name in ("num_items", "num_negatives", "projection_size", "score_temperature"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("external_dropout", "embedding_dropout", "rec_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")


__all__ = ["GALRecConfig"]
