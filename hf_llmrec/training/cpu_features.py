"""Instructions of the CPU for products in bf16."""

from __future__ import annotations

from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# Linux's names, the fastest first: Intel's tiles, vectors of Intel and AMD, vectors of ARM.
_BF16 = ("amx_bf16", "avx512_bf16", "bf16")


def bf16_feature() -> str | None:
    """Name of the CPU's instructions for products in bf16; ``None``: none, or the system does not list them."""
    if not _CPUINFO.exists():
        return None
    lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = {flag for line in lines if line.lower().startswith(("flags", "features")) for flag in line.split()}
    return next((name for name in _BF16 if name in flags), None)
