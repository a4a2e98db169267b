"""`BeamTree`: prompts computed once, beams as further tokens of the same row; and which models this is valid for."""

from __future__ import annotations

import logging
from weakref import WeakKeyDictionary

import torch
from transformers import Cache, DynamicCache, PreTrainedModel

from .level_head import LevelHead, has_linear_head, input_weight

logger = logging.getLogger(__name__)

CACHED_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
MASKED_KERNELS = {"eager", "sdpa"}
WINDOWS = ("sliding_window", "attention_chunk_size", "window_size")
# How far, relative to the largest logit, a tree's logits may differ from those of plain forward passes by rounding.
# Norms, rotary embeddings and softmax are float32 in float64 models, too.
TOLERANCES = {torch.float64: 1e-4, torch.float32: 3e-3}


class BeamTree:
    """The growing rows of one batch: the prompts, followed by the beams of every level.

    The cache is only appended to. A 4-D mask lets each beam see the prompt and its own ancestors.

    Args:
        model: a decoder for which `tree_obstacle` returns ``None``, in evaluation mode.
        input_ids: int64 (batch, length), left-padded prompts.
        attention_mask: int64 (batch, length), 0 at padding and 1 elsewhere.
        project: return the model's logits instead of hidden states.

    Attributes:
        last: (batch, 1, width), the state after each prompt.
    """

    def __init__(
        self, model: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, project: bool = False
    ):
        self.model, self.project, self.cache_name = model, project, _cache_name(model)
        self.prompt_mask, self.lengths = attention_mask.bool(), attention_mask.sum(1)
        # Not made from the config: no layer may drop entries that later beams still attend to.
        self.cache = DynamicCache()
        mask = None
        if not bool(self.prompt_mask.all()):
            # Padding attends to itself: a row that attends to nothing gives NaN in eager float64 attention.
            length = input_ids.shape[1]
            causal = torch.ones(length, length, dtype=torch.bool, device=input_ids.device).tril()
            itself = torch.eye(length, dtype=torch.bool, device=input_ids.device)
            mask = self._additive(causal & self.prompt_mask.unsqueeze(1) | itself)
        positions = (attention_mask.cumsum(1) - 1).clamp_min(0)
        self.last = self._forward(input_ids, mask, positions, 1)[:, -1:]
        self.rewind()

    def _forward(self, input_ids, attention_mask, position_ids, logits_to_keep: int) -> torch.Tensor:
        inputs = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "position_ids": position_ids,
            self.cache_name: self.cache,
            "use_cache": True,
        }
        if self.project:
            return self.model(**inputs, logits_to_keep=logits_to_keep).logits
        return self.model.base_model(**inputs).last_hidden_state

    def _additive(self, visible: torch.Tensor) -> torch.Tensor:
        """Make the 4-D mask for eager attention and SDPA of the visible keys, bool (batch, queries, keys)."""
        mask = torch.zeros(visible.shape, dtype=self.model.dtype, device=visible.device)
        # Eager attention computes its softmax in float32, where float64's smallest number is -inf.
        lowest = max(torch.finfo(mask.dtype).min, torch.finfo(torch.float32).min)
        return mask.masked_fill_(~visible, lowest).unsqueeze(1)

    def rewind(self) -> None:
        """Remove all beams; the prompts stay in the cache."""
        self.cache.crop(self.prompt_mask.shape[1] - self.cache.get_seq_length())
        self.appended = 0
        self.ancestors = self.prompt_mask.new_empty((len(self.prompt_mask), 1, 0), dtype=torch.long)

    def append(self, token_ids: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        """Append the tokens of the next level, one per beam.

        Args:
            token_ids: int64 (batch, beams).
            parents: int64 (batch, beams), the beam of the previous level that each one follows; at the first level 0,
                the prompt.

        Returns:
            (batch, beams, width), the state (or the logits, with ``project``) of each beam.
        """
        batch, beams = token_ids.shape
        depth = self.ancestors.shape[-1]
        history = self.ancestors.gather(1, parents.unsqueeze(-1).expand(-1, -1, depth))
        own = torch.arange(self.appended, self.appended + beams, device=token_ids.device)
        self.ancestors = torch.cat([history, own.expand(batch, -1).unsqueeze(-1)], dim=-1)
        self.appended += beams
        visible = torch.zeros(batch, beams, self.appended, dtype=torch.bool, device=token_ids.device)
        visible.scatter_(-1, self.ancestors, True)
        visible = torch.cat([self.prompt_mask.unsqueeze(1).expand(-1, beams, -1), visible], dim=-1)
        positions = (self.lengths + depth).unsqueeze(1).expand(-1, beams)
        return self._forward(token_ids, self._additive(visible), positions, 0)


def config_obstacle(model: PreTrainedModel, length: int) -> str | None:
    """The part of `tree_obstacle` that follows from the configuration; the model needs no weights."""
    config = model.config.get_text_config()
    if config.is_encoder_decoder:
        return "it is an encoder-decoder model"
    kernel = config._attn_implementation
    if kernel not in MASKED_KERNELS:
        return f"attention kernel {kernel!r} takes no 4-D mask"
    kinds = set(getattr(config, "layer_types", None) or [])
    if model._is_stateful or kinds - CACHED_LAYERS:
        return f"layers of type {sorted(kinds - CACHED_LAYERS)} keep a state, not a cache that beams can share"
    windows = [window for window in (getattr(config, name, None) for name in WINDOWS) if window]
    # Configs without layer types may use their window in any layer.
    if windows and kinds != {"full_attention"} and min(windows) < length:
        return f"its attention window ({min(windows)}) is shorter than prompt and index ({length})"
    return None


def tree_obstacle(model: PreTrainedModel, length: int) -> str | None:
    """Why the tree of beams is not valid for this model and ``length`` tokens of context; ``None`` if it is valid."""
    return config_obstacle(model, length) or _probe(model)[0]


def projects_itself(model: PreTrainedModel) -> bool:
    """Whether logits must come from the model's full forward pass, because its head is more than a linear layer."""
    return not _probe(model)[1]


def _some_tokens(model: PreTrainedModel) -> torch.Tensor:
    """Five different token ids, int64 (5,)."""
    device = input_weight(model).device
    return (torch.arange(1, 6, device=device) * 7) % model.config.get_text_config().vocab_size


def uses_positions(model: PreTrainedModel) -> bool:
    """Whether different position ids give different logits; a model may accept ``position_ids`` and ignore them."""
    if model not in _position_users:
        _position_users[model] = _tells_positions_apart(model)
    return _position_users[model]


_position_users: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


@torch.no_grad()
def _tells_positions_apart(model: PreTrainedModel) -> bool:
    tokens = _some_tokens(model).unsqueeze(0)
    positions = torch.arange(tokens.shape[1], device=tokens.device).unsqueeze(0)
    # With a mask: without one, position ids with gaps would be read as several packed sequences.
    inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "use_cache": False}
    try:
        near, far = (model(**inputs, position_ids=step * positions).logits for step in (1, 2))
    except TypeError:  # the model has no such argument
        return False
    return not torch.equal(near, far)


_cache_names: WeakKeyDictionary[PreTrainedModel, str] = WeakKeyDictionary()


@torch.no_grad()
def _cache_name(model: PreTrainedModel) -> str:
    """Name of the argument for the cache, which is the name of the output with the cache; it depends on the release.

    Raises:
        TypeError: a model that returns no cache.
    """
    if model not in _cache_names:
        token = torch.ones(1, 1, dtype=torch.long, device=input_weight(model).device)
        outputs = model.base_model(input_ids=token, use_cache=True)
        names = [name for name, value in outputs.items() if isinstance(value, Cache)]
        if not names:
            raise TypeError("it returns no cache")
        _cache_names[model] = names[0]
    return _cache_names[model]


_probed: WeakKeyDictionary[PreTrainedModel, tuple[object, tuple[str | None, bool]]] = WeakKeyDictionary()


@torch.no_grad()
def _probe(model: PreTrainedModel) -> tuple[str | None, bool]:
    """Test once what a model's config does not say: why the tree is not valid, and whether the head is linear.

    Architectures differ in how they treat masks, positions and logits (scaling, capping), and releases of transformers
    in the names of arguments. A wrong guess would silently give wrong scores, and three passes over a few tokens are
    cheap.
    """
    # A resized vocabulary or another attention kernel may change the outcome.
    head = model.get_output_embeddings()
    device = input_weight(model).device
    is_autocast = torch.is_autocast_enabled(device.type)
    dtype = torch.get_autocast_dtype(device.type) if is_autocast else model.dtype
    key = (id(head), type(head), model.config._attn_implementation, dtype)
    if model in _probed and _probed[model][0] == key:
        return _probed[model][1]
    tokens = _some_tokens(model)
    prompt, x, y = tokens[:3], tokens[3], tokens[4]
    branches = torch.stack([torch.cat([prompt, pair]) for pair in (torch.stack([y, x]), torch.stack([x, y]))])
    expected = model(input_ids=branches).logits[:, -1]
    tolerance = TOLERANCES.get(dtype, 5e-2) * float(expected.abs().max())
    padded = torch.cat([tokens[:1], prompt]).unsqueeze(0)
    mask = torch.tensor([[0, 1, 1, 1]], device=device)

    def close(logits: torch.Tensor) -> bool:
        return bool((logits.to(expected.dtype) - expected).abs().max() <= tolerance)

    def grow(project: bool) -> torch.Tensor:
        tree = BeamTree(model, padded, mask, project)
        tree.append(torch.stack([x, y]).unsqueeze(0), torch.zeros(1, 2, dtype=torch.long, device=device))
        # Crossed parents: the first of these tokens follows the second beam.
        return tree.append(torch.stack([x, y]).unsqueeze(0), torch.tensor([[1, 0]], device=device))[0]

    obstacle, linear = None, False
    try:
        if not close(grow(True)):
            obstacle = "a small tree gives other logits than plain forward passes"
    except Exception as error:  # of any kind: it is reported, and decoding continues without the tree
        obstacle = f"a small tree ends in {type(error).__name__}: {error}"
    if obstacle is not None and not uses_positions(model):
        obstacle = f"it takes no position ids, so beams of one level cannot share a position ({obstacle})"
    if obstacle is None and has_linear_head(model):
        linear = close(LevelHead(model, [], "level", False, device).logits(grow(False), None))
    if obstacle is None and not linear:
        logger.info("%s: its head is not a plain linear layer; logits of the whole vocabulary", type(model).__name__)
    _probed[model] = (key, (obstacle, linear))
    return obstacle, linear
