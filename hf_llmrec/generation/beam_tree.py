"""`BeamTree`: prompts computed once, beams as further tokens of the same row; and for which models that is valid."""

from __future__ import annotations

import inspect
import logging
from weakref import WeakKeyDictionary

import torch
from transformers import DynamicCache, PreTrainedModel

from .level_head import LevelHead, has_linear_head

logger = logging.getLogger(__name__)

CACHED_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
MASKED_KERNELS = {"eager", "sdpa"}
WINDOWS = ("sliding_window", "attention_chunk_size", "window_size")
# How far, relative to the largest logit, a tree may be from plain forwards by rounding alone. Norms, rotary embeddings
# and softmax are float32 in float64 models, too.
TOLERANCES = {torch.float64: 1e-4, torch.float32: 3e-3}


class BeamTree:
    """The growing rows of one batch: prompts, then every level's beams.

    The cache is only appended to. A 4-D mask shows each beam the prompt and its own ancestors.

    Args:
        model: a decoder for which `tree_obstacle` finds none, in evaluation mode.
        input_ids, attention_mask: int64 (batch, length), left-padded.
        project: return the model's logits instead of hidden states.

    Attributes:
        last: (batch, 1, width), the state after each prompt.
    """

    def __init__(
        self, model: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, project: bool = False
    ):
        self.model, self.project = model, project
        self.prompt_mask, self.lengths = attention_mask.bool(), attention_mask.sum(1)
        # Not made from the config: no layer may trim what later beams still look at.
        self.cache = DynamicCache()
        mask = None
        if not bool(self.prompt_mask.all()):
            # Padding sees itself: a row that sees nothing is no number in eager float64 attention.
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
            "past_key_values": self.cache,
            "use_cache": True,
        }
        if self.project:
            return self.model(**inputs, logits_to_keep=logits_to_keep).logits
        return self.model.base_model(**inputs).last_hidden_state

    def _additive(self, visible: torch.Tensor) -> torch.Tensor:
        """Visible keys bool (batch, queries, keys) as the 4-D mask that eager attention adds and SDPA takes."""
        mask = torch.zeros(visible.shape, dtype=self.model.dtype, device=visible.device)
        # Eager attention takes its softmax in float32, where float64's smallest number is -inf.
        lowest = max(torch.finfo(mask.dtype).min, torch.finfo(torch.float32).min)
        return mask.masked_fill_(~visible, lowest).unsqueeze(1)

    def rewind(self) -> None:
        """Forget all beams; the prompts stay."""
        self.cache.crop(self.prompt_mask.shape[1] - self.cache.get_seq_length())
        self.appended = 0
        self.ancestors = self.prompt_mask.new_empty((len(self.prompt_mask), 1, 0), dtype=torch.long)

    def append(self, token_ids: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        """Feed one token per beam, a level deeper than the last; states (batch, beams, width).

        Args:
            token_ids: int64 (batch, beams).
            parents: int64 (batch, beams), the beam of the previous level that each one follows; at first 0, the prompt.
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


def tree_obstacle(model: PreTrainedModel, length: int) -> str | None:
    """Why the tree of beams is not valid for this model and ``length`` tokens of context; ``None`` when it is."""
    config = model.config.get_text_config()
    if config.is_encoder_decoder:
        return "it is an encoder-decoder model"
    kernel = config._attn_implementation
    if kernel not in MASKED_KERNELS:
        return f"attention kernel {kernel!r} takes no 4-D mask"
    if not {"position_ids", "past_key_values"} <= set(inspect.signature(model.base_model.forward).parameters):
        return "it takes no position ids with a cache, so beams of one level cannot share a position"
    kinds = set(getattr(config, "layer_types", None) or [])
    if model._is_stateful or kinds - CACHED_LAYERS:
        return f"layers of type {sorted(kinds - CACHED_LAYERS)} keep a state, not a cache that beams can share"
    windows = [window for window in (getattr(config, name, None) for name in WINDOWS) if window]
    # Configs without layer types may use their window in any layer.
    if windows and kinds != {"full_attention"} and min(windows) < length:
        return f"its attention window ({min(windows)}) is shorter than prompt and index ({length})"
    return None if _probe(model)[0] else "a small tree gives other logits than plain forward passes"


def projects_itself(model: PreTrainedModel) -> bool:
    """Whether logits must come from the model's whole forward, since its head is more than a linear layer."""
    return not _probe(model)[1]


_probed: WeakKeyDictionary[PreTrainedModel, tuple[object, tuple[bool, bool]]] = WeakKeyDictionary()


@torch.no_grad()
def _probe(model: PreTrainedModel) -> tuple[bool, bool]:
    """Once per model, try what cannot be read from a config: is the tree valid, and is the head linear rows?

    Architectures differ in what they do with masks, positions and logits (scaling, capping); a wrong guess would
    quietly give other scores, and three passes over a few tokens are cheap.
    """
    # A resized vocabulary or another kernel may change the answer.
    head = model.get_output_embeddings()
    key = (id(head), type(head), model.config._attn_implementation, model.dtype)
    if model in _probed and _probed[model][0] == key:
        return _probed[model][1]
    vocabulary = model.config.get_text_config().vocab_size
    device = model.get_input_embeddings().weight.device
    tokens = (torch.arange(1, 6, device=device) * 7) % vocabulary
    prompt, x, y = tokens[:3], tokens[3], tokens[4]
    branches = torch.stack([torch.cat([prompt, pair]) for pair in (torch.stack([y, x]), torch.stack([x, y]))])
    expected = model(input_ids=branches).logits[:, -1]
    tolerance = TOLERANCES.get(model.dtype, 5e-2) * float(expected.abs().max())
    padded = torch.cat([tokens[:1], prompt]).unsqueeze(0)
    mask = torch.tensor([[0, 1, 1, 1]], device=device)

    def close(logits: torch.Tensor) -> bool:
        return bool((logits.to(expected.dtype) - expected).abs().max() <= tolerance)

    def grow(project: bool) -> torch.Tensor:
        tree = BeamTree(model, padded, mask, project)
        tree.append(torch.stack([x, y]).unsqueeze(0), torch.zeros(1, 2, dtype=torch.long, device=device))
        # Crossed parents: the first of these tokens follows the second beam.
        return tree.append(torch.stack([x, y]).unsqueeze(0), torch.tensor([[1, 0]], device=device))[0]

    valid = close(grow(True))
    linear = valid and has_linear_head(model)
    if linear:
        linear = close(LevelHead(model, [], "level", False, device).logits(grow(False), None))
    if valid and not linear:
        logger.info("%s: its head is not a plain linear layer; logits of the whole vocabulary", type(model).__name__)
    _probed[model] = (key, (valid, linear))
    return valid, linear
