"""What the CPU can multiply besides float32."""

from __future__ import annotations

from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# As Linux names them, the fastest first: tiles of Intel's, vectors of Intel's and AMD's, of ARM's.
_BF16 = ("amx_bf16", "avx512_bf16", "bf16")


def bf16_feature() -> str | None:
    """The instructions for products of bf16 that the CPU has; ``None``: none, or the system does not list them."""
    if not _CPUINFO.exists():
        return None
    lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = {flag for line in lines if line.lower().startswith(("flags", "features")) for flag in line.split()}
    return next((name for name in _BF16 if name in flags), None)
