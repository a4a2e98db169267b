"""Describes this machine's devices, memory and disk, and what to improve about them."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from ..training.cpu_features import bf16_feature

# Bytes of a checkpoint of a 1B-parameter model with its optimizer: with less space a run fails at its first save.
_LITTLE_DISK = 20 * 2**30


def machine_lines() -> list[str]:
    """System, processors, memory, disk and accelerators of this machine."""
    import psutil
    import torch

    from ..training.machine_config import accelerator_memory, accelerator_name, accelerator_type

    memory = psutil.virtual_memory()
    lines = [
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        f"{os.cpu_count()} CPU cores, PyTorch uses {torch.get_num_threads()}",
        f"{memory.total / 2**30:.1f} GiB of memory, {memory.available / 2**30:.1f} free",
        f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB free on this disk",
    ]
    if accelerator_type() is None:
        feature = bf16_feature()
        half = f"the CPU has {feature}: --bf16 True" if feature else "the CPU has no instructions for bf16"
        return [*lines, half, "no GPU that PyTorch sees"]
    if accelerator_type() != "cuda":
        return [*lines, f"{accelerator_type()}: {accelerator_name()}, {accelerator_memory() / 2**30:.1f} GiB"]
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        half = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        name = torch.cuda.get_device_name(number)
        lines.append(f"GPU {number}: {name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, {half}")
    return lines


def machine_warnings() -> list[str]:
    """What makes training slow or impossible on this machine, with remedies."""
    from ..training.machine_config import accelerator_type

    lines, has_gpu = [], accelerator_type() is not None
    if not has_gpu:
        if shutil.which("nvidia-smi"):
            lines.append("there is an NVIDIA driver, but PyTorch has no CUDA: install a build with it (pytorch.org)")
        else:
            lines.append("without a GPU, train small backbones (--backbone tiny), not pretrained language models")
        if bf16_feature():
            lines.append(f"this CPU has {bf16_feature()}: --bf16 True trains language models in less time")
    if shutil.disk_usage(Path.cwd()).free < _LITTLE_DISK:
        lines.append("less than 20 GiB free here: checkpoints go to --output_dir; --save_total_limit 1 keeps one")
    if int(os.environ.get("OMP_NUM_THREADS") or 0) == 1 and not has_gpu and (os.cpu_count() or 1) > 1:
        lines.append("OMP_NUM_THREADS=1 keeps PyTorch on one core: unset it")
    return lines
