"""Estimate of the memory that a training step needs, before training begins.

Parameters are counted on a copy of the model without memory; activations by a forward pass of its decoder on tensors
without data, whose saved tensors are added up. docs/scale.md has the arithmetic.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import cast

import torch
from peft import PeftConfig, PeftModel, get_peft_model
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

GIB = 2**30
SHARDINGS = ("none", "zero2", "zero3", "fsdp2")
# Bytes that the driver, libraries and fragmentation take on a GPU in addition.
RESERVE = int(1.5 * GIB)


@dataclass(frozen=True)
class Setup:
    """Processes and precision of a run.

    Attributes:
        processes: number of processes.
        sharding: how weights are sharded over them, one of `SHARDINGS`.
        half: whether matrix products are in half precision.
        checkpointing: whether activations are computed again in the backward pass.
        momentum: whether there is a momentum copy of the trained parameters.

    Raises:
        ValueError: an unknown sharding.
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
    """Memory of one process in bytes, and counts.

    Attributes:
        parts: bytes of a training step by purpose: weights, weights gathered for a layer, gradients, optimizer,
            momentum, activations and logits.
        parameters: number of the model's parameters, adapters included.
        trained: number of the trained ones among them.
        flops_per_token: floating-point operations of a training step per token, without attention.
        full_model: bytes of the full model that ZeRO-3 and FSDP2 gather on every process for ranking; 0 where weights
            are not sharded.
    """

    parts: dict[str, int]
    parameters: int
    trained: int
    flops_per_token: float
    full_model: int = 0

    @property
    def total(self) -> int:
        """Bytes of a training step."""
        return sum(self.parts.values())

    @property
    def ranking(self) -> int:
        """Bytes while users are ranked, between two steps, without the activations of ranking."""
        return self.parts["weights"] + self.parts["optimizer"] + self.parts["momentum"] + self.full_model

    @property
    def peak(self) -> int:
        """The larger of ``total`` and ``ranking``."""
        return max(self.total, self.ranking)


def footprint(
    model: PreTrainedModel, peft_config: PeftConfig | None, setup: Setup, *, tokens: int, logits: int
) -> Footprint:
    """Count the memory that one process needs for a training step.

    Args:
        model: the model before adapters are added; its weights may be on any device, or sharded.
        peft_config: of the adapters; ``None``: the model's own weights are trained.
        setup: processes and precision of the run.
        tokens: tokens of the largest batch, of all passes with gradient together.
        logits: bytes of the logits that the loss computes, with their copies and gradients.
    """
    dtype = torch.bfloat16 if setup.half and setup.sharding.startswith("zero") else model.dtype
    skeleton = _skeleton(model, peft_config, dtype)
    weight_shards = setup.processes if setup.sharding in ("zero3", "fsdp2") else 1
    state_shards = setup.processes if setup.sharding != "none" else 1
    every, trained = list(skeleton.parameters()), [p for p in skeleton.parameters() if p.requires_grad]
    num_trained = sum(p.numel() for p in trained)
    # DeepSpeed has gradients in half precision.
    gradient_bytes = 2 if setup.half and setup.sharding.startswith("zero") else 4
    decoder = _decoder(skeleton)
    layers = decoder.config.num_hidden_layers
    per_token, constant = _saved(decoder, setup.half and dtype == model.dtype)
    if setup.checkpointing:
        width = decoder.config.hidden_size * (2 if setup.half else 4)
        per_token, constant = layers * width + per_token / layers, constant / layers
    weights = _bytes(every)
    if setup.half and setup.sharding == "fsdp2":  # accelerate casts the trained parameters to float32
        weights += 4 * num_trained - _bytes(trained)
    gathered = 0
    if weight_shards > 1:  # two layers and an embedding at a time, in the precision of products
        table = _embedding(decoder).numel()
        gathered = (2 if setup.half else 4) * (2 * sum(p.numel() for p in every) // layers + table)
    has_buckets = setup.sharding == "none" and setup.processes > 1  # DistributedDataParallel copies gradients into them
    gradients = num_trained * gradient_bytes // state_shards * (2 if has_buckets else 1)
    # AdamW's two averages; DeepSpeed in half precision also stores the weights in float32.
    states = 12 if setup.half and setup.sharding.startswith("zero") else 8
    parts = {
        "weights": weights // weight_shards,
        "gathered": gathered,
        "gradients": gradients,
        "optimizer": num_trained * states // state_shards,
        "momentum": num_trained * 4 // weight_shards if setup.momentum else 0,
        "activations": int(per_token * tokens + constant),
        "logits": logits + _merged_rows(skeleton, decoder),
    }
    # Operations per weight: forward pass, gradients of inputs, gradients of weights that are not frozen.
    passes = 4 + (2 if peft_config is None else 0) + (2 if setup.checkpointing else 0)
    passes += 2 if setup.momentum else 0  # the forward pass of the keys
    inner = sum(p.numel() for p in decoder.parameters()) - _embedding(decoder).numel()
    full_model = weights if weight_shards > 1 else 0
    return Footprint(parts, sum(p.numel() for p in every), num_trained, float(passes * inner), full_model)


def _skeleton(model: PreTrainedModel, peft_config: PeftConfig | None, dtype: torch.dtype) -> nn.Module:
    """A copy of the model without memory, with adapters."""
    with torch.device("meta"):
        skeleton = type(model)(copy.deepcopy(model.config))
        skeleton.to(dtype)  # pyright: ignore[reportArgumentType]  # transformers' decorator hides `self`
        skeleton.tie_weights()
        frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
        for name, parameter in skeleton.named_parameters():
            parameter.requires_grad_(name not in frozen)
        if peft_config is not None:
            return get_peft_model(skeleton, copy.deepcopy(peft_config)).train()
    return skeleton.train()


def _decoder(skeleton: nn.Module) -> PreTrainedModel:
    """The layers between embeddings and head."""
    base = skeleton.get_base_model() if isinstance(skeleton, PeftModel) else skeleton
    # PEFT and transformers annotate the models inside others as any module.
    inner = cast(PreTrainedModel, base).base_model
    return cast(PreTrainedModel, getattr(inner, "language_model", inner))


def _embedding(decoder: PreTrainedModel) -> torch.Tensor:
    return cast(nn.Embedding, decoder.get_input_embeddings()).weight


def _attend(module, query, key, value, attention_mask, scaling=None, **kwargs):
    """Causal attention as fused kernels compute it, without a matrix of scores and without a mask."""
    output = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=True)
    return output.transpose(1, 2).contiguous(), None


# Given tensors without data, transformers would materialise masks, which would be counted.
_COUNTED = "hf_llmrec_counted"
AttentionInterface.register(_COUNTED, _attend)
AttentionMaskInterface.register(_COUNTED, lambda *args, **kwargs: None)


def _saved(decoder: PreTrainedModel, autocast: bool) -> tuple[float, float]:
    """Bytes that a forward pass saves for the backward pass: (per token, independent of the tokens)."""
    few, many = (_saved_bytes(decoder, autocast, tokens) for tokens in (128, 384))
    per_token = (many - few) / 256
    return per_token, max(few - 128 * per_token, 0.0)


def _saved_bytes(decoder: PreTrainedModel, autocast: bool, tokens: int) -> int:
    decoder.config._attn_implementation = _COUNTED  # the decoder is a copy
    with FakeTensorMode():
        weights: dict[str, torch.Tensor] = {}
        for name, parameter in decoder.named_parameters():
            fake = torch.empty(parameter.shape, dtype=parameter.dtype, requires_grad=parameter.requires_grad)
            weights[name] = fake
        weights |= {name: torch.empty(value.shape, dtype=value.dtype) for name, value in decoder.named_buffers()}
        own = {value.untyped_storage()._cdata for value in weights.values()}
        saved: dict[int, torch.Tensor] = {}  # holds the tensors, as the address of a freed one may be used again

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


def _merged_rows(skeleton: nn.Module, decoder: PreTrainedModel) -> int:
    """Bytes of the full embedding matrices, with gradients, into which PEFT copies single trained rows."""
    has_rows = any("trainable_tokens_delta" in name for name, _ in skeleton.named_parameters())
    return 4 * _embedding_bytes(decoder) if has_rows else 0


def _embedding_bytes(decoder: PreTrainedModel) -> int:
    weight = _embedding(decoder)
    return weight.numel() * weight.element_size()


def _bytes(parameters: list[nn.Parameter]) -> int:
    return sum(p.numel() * p.element_size() for p in parameters)
