"""How much memory a training step needs, counted before it is taken.

Parameters are counted on a copy of the model without memory; activations by a forward pass of its decoder on tensors
without data, whose saved tensors are added up. docs/scale.md has the arithmetic.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from peft import PeftConfig, get_peft_model
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

GIB = 2**30
SHARDINGS = ("none", "zero2", "zero3", "fsdp2")
# What the driver, libraries and fragmentation take on a GPU besides.
RESERVE = int(1.5 * GIB)


@dataclass(frozen=True)
class Setup:
    """What a run is spread over, and computes in.

    Attributes:
        processes: how many. sharding: one of `SHARDINGS`.
        half: whether matrix products are in half precision. checkpointing: of activations.
        momentum: whether there is a momentum copy of what is trained.
    """

    processes: int = 1
    sharding: str = "none"
    half: bool = False
    checkpointing: bool = False
    momentum: bool = False

    def __post_init__(self):
        if self.sharding not in SHARDINGS:
            raise ValueError(f"sharding must be one of {SHARDINGS}, got {self.sharding!r}")


@dataclass(frozen=True)
class Footprint:
    """Bytes of one process, and counts.

    Attributes:
        parts: of a training step: weights, those gathered for a layer, gradients, optimizer, momentum, activations and
            logits, in bytes.
        whole: the model that ZeRO-3 and FSDP2 gather on every process to rank with; 0 where weights are not sharded.
        parameters: of the whole model, adapters included. trained: how many of them are trained.
        flops_per_token: of a training step, attention left out.
    """

    parts: dict[str, int]
    parameters: int
    trained: int
    flops_per_token: float
    whole: int = 0

    @property
    def total(self) -> int:
        """Of a training step."""
        return sum(self.parts.values())

    @property
    def ranking(self) -> int:
        """While users are ranked, between two steps; the activations of ranking left out."""
        return self.parts["weights"] + self.parts["optimizer"] + self.parts["momentum"] + self.whole

    @property
    def peak(self) -> int:
        return max(self.total, self.ranking)


def footprint(
    model: PreTrainedModel, peft_config: PeftConfig | None, setup: Setup, *, tokens: int, logits: int
) -> Footprint:
    """Count what one step of one process takes.

    Args:
        model: before adapters; its weights may be anywhere, also spread over processes.
        peft_config: of the adapters.
        tokens: of the largest batch, all passes with gradient together. logits: bytes of what the loss computes.
    """
    dtype = torch.bfloat16 if setup.half and setup.sharding.startswith("zero") else model.dtype
    skeleton = _skeleton(model, peft_config, dtype)
    spread = setup.processes if setup.sharding in ("zero3", "fsdp2") else 1
    shared = setup.processes if setup.sharding != "none" else 1
    every, trained = list(skeleton.parameters()), [p for p in skeleton.parameters() if p.requires_grad]
    num_trained = sum(p.numel() for p in trained)
    kept = 4 if setup.sharding in ("none", "fsdp2") else 2  # bytes of a gradient: DeepSpeed's are in half precision
    kept = kept if setup.half else 4
    decoder = _decoder(skeleton)
    layers = decoder.config.num_hidden_layers
    per_token, constant = _saved(decoder, setup.half and dtype == model.dtype)
    if setup.checkpointing:
        width = decoder.config.hidden_size * (2 if setup.half else 4)
        per_token, constant = layers * width + per_token / layers, constant / layers
    weights = _bytes(every)
    if setup.half and setup.sharding == "fsdp2":  # accelerate brings what is trained to float32
        weights += 4 * num_trained - _bytes(trained)
    gathered = 0
    if spread > 1:  # two layers and an embedding at a time, in the precision of products
        table = decoder.get_input_embeddings().weight.numel()
        gathered = (2 if setup.half else 4) * (2 * sum(p.numel() for p in every) // layers + table)
    gradients = num_trained * kept // shared * (2 if setup.sharding == "none" and setup.processes > 1 else 1)
    # AdamW's two averages; DeepSpeed in half precision keeps the weights in float32 beside them.
    states = 12 if setup.half and setup.sharding.startswith("zero") else 8
    parts = {
        "weights": weights // spread,
        "gathered": gathered,
        "gradients": gradients,
        "optimizer": num_trained * states // shared,
        "momentum": num_trained * 4 // spread if setup.momentum else 0,
        "activations": int(per_token * tokens + constant),
        "logits": logits + _merged_rows(skeleton, decoder),
    }
    # Forward, gradients of inputs, gradients of weights; frozen weights have none.
    passes = 4 + (2 if peft_config is None else 0) + (2 if setup.checkpointing else 0)
    passes += 2 if setup.momentum else 0  # the keys'
    inner = sum(p.numel() for p in decoder.parameters()) - decoder.get_input_embeddings().weight.numel()
    whole = weights if spread > 1 else 0
    return Footprint(parts, sum(p.numel() for p in every), num_trained, float(passes * inner), whole)


def _skeleton(model: PreTrainedModel, peft_config: PeftConfig | None, dtype: torch.dtype) -> nn.Module:
    with torch.device("meta"):
        skeleton: nn.Module = type(model)(copy.deepcopy(model.config)).to(dtype)
        skeleton.tie_weights()
        frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
        for name, parameter in skeleton.named_parameters():
            parameter.requires_grad_(name not in frozen)
        if peft_config is not None:
            skeleton = get_peft_model(skeleton, copy.deepcopy(peft_config))
    return skeleton.train()


def _decoder(skeleton: nn.Module) -> nn.Module:
    """The layers between embeddings and head."""
    base = skeleton.get_base_model() if hasattr(skeleton, "peft_config") else skeleton
    return getattr(base.base_model, "language_model", base.base_model)


def _attend(module, query, key, value, attention_mask, scaling=None, **kwargs):
    """Causal attention as fused kernels do it, which keep no matrix of scores and need no mask."""
    found = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=True)
    return found.transpose(1, 2).contiguous(), None


# Tensors without data make transformers write out masks, which would be counted.
_COUNTED = "hf_llmrec_counted"
AttentionInterface.register(_COUNTED, _attend)
AttentionMaskInterface.register(_COUNTED, lambda *args, **kwargs: None)


def _saved(decoder: nn.Module, autocast: bool) -> tuple[float, float]:
    """Bytes that a forward pass saves for the backward pass: (per token, whatever the tokens)."""
    few, many = (_saved_bytes(decoder, autocast, tokens) for tokens in (128, 384))
    per_token = (many - few) / 256
    return per_token, max(few - 128 * per_token, 0.0)


def _saved_bytes(decoder: nn.Module, autocast: bool, tokens: int) -> int:
    decoder.config._attn_implementation = _COUNTED  # the decoder is a copy
    with FakeTensorMode():
        weights: dict[str, torch.Tensor] = {}
        for name, parameter in decoder.named_parameters():
            made = torch.empty(parameter.shape, dtype=parameter.dtype, requires_grad=parameter.requires_grad)
            weights[name] = made
        weights |= {name: torch.empty(value.shape, dtype=value.dtype) for name, value in decoder.named_buffers()}
        own = {value.untyped_storage()._cdata for value in weights.values()}
        saved: dict[int, torch.Tensor] = {}  # the tensors themselves: a freed one's number is given again

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()._cdata
            if storage not in own:
                saved[storage] = tensor
            return tensor

        inputs = {"input_ids": torch.zeros(1, tokens, dtype=torch.long), "use_cache": False}
        hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
        with hooks, torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            functional_call(decoder, weights, (), inputs)
        return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


def _merged_rows(skeleton: nn.Module, decoder: nn.Module) -> int:
    """Where single rows are trained, PEFT puts them into copies of the matrices, which have gradients of their size."""
    has_rows = any("trainable_tokens_delta" in name for name, _ in skeleton.named_parameters())
    return 4 * _embedding_bytes(decoder) if has_rows else 0


def _embedding_bytes(decoder: nn.Module) -> int:
    weight = decoder.get_input_embeddings().weight
    return weight.numel() * weight.element_size()


def _bytes(parameters: list[nn.Parameter]) -> int:
    return sum(p.numel() * p.element_size() for p in parameters)
