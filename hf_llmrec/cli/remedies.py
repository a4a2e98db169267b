"""Texts of what users can do about failures, by command, package and message."""

from __future__ import annotations

# How a command can use less memory. A test checks that each command has the options that are named here.
_ROWS = "lower --tokens_per_batch and raise --gradient_accumulation_steps by the same factor"

_LANGUAGE_MODEL = (
    "lower --tokens_per_batch, or --per_device_train_batch_size, and raise --gradient_accumulation_steps by the same "
    "factor; --activation_checkpointing True and --use_peft True (LoRA) need less; several GPUs share what they hold "
    "under recipes/accelerate_configs/zero3.yaml or fsdp2.yaml; "
)

MEMORY = {
    "train lcrec": f"{_LANGUAGE_MODEL}while ranking, fewer --num_beams",
    "train galrec": f"{_LANGUAGE_MODEL}a shorter --max_history makes shorter rows",
    "train baseline": _ROWS,
    "train sasrec": _ROWS,
    "train lightgcn": _ROWS,
    "train knn": "--k_core leaves out rare users and items",
    "train popularity": "--k_core leaves out rare users and items",
    "train text_encoder": f"{_ROWS}; a smaller model as --text_encoder",
    "train fusion": "lower --num_candidates; a part that is too large alone is too large here",
    "evaluate": "lower --batch_size, and of LC-Rec --num_beams",
    "compare": "its batches are the models' own, which only `hf-llmrec evaluate` lowers: it takes a machine with more",
    "ablate": "lower tokens_per_batch, or per_device_train_batch_size, in the file of --base",
    "annotate": "with --local lower --concurrency, the chats of a batch, and --max_tokens",
    "build-index": (
        "give --text_embeddings made where there is more, instead of --text_encoder; of the RQ-VAE lower `batch_size` "
        "in --indexer_options"
    ),
}

# Parts of error messages that mean a lack of memory.
NO_MEMORY = ("CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "DefaultCPUAllocator")

# Modules that an extra of this package installs.
EXTRAS = {
    "sentence_transformers": "text",
    "torch_geometric": "lightgcn",
    "deepspeed": "deepspeed",
    "liger_kernel": "liger",
    "optuna": "tune",
}

# Further arguments of pip for these modules.
FLAGS = {"deepspeed": "--no-build-isolation "}

# Other packages, by the name in an error message, with the arguments of pip that install them.
PACKAGES = {"FlashAttention2": "--no-build-isolation flash-attn", "tensorboard": "tensorboard"}

# By a part of an error message about a precision that cannot be used.
PRECISION = {
    "doesn't support bf16/gpu": "no GPU here computes in bf16: leave out --bf16, or give --use_cpu True",
    "ds bf16.enabled": (
        "`mixed_precision: bf16` of the accelerate configuration is not what this run trains in: where the hardware "
        'has bf16 give --bf16 True, where it has not set `mixed_precision` to "no", or to fp16 with --fp16 True'
    ),
    "ds fp16.enabled": (
        "`mixed_precision: fp16` of the accelerate configuration is not what this run trains in: give --fp16 True, or "
        'set `mixed_precision` to "no" or bf16'
    ),
}
