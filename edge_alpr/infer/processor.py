"""What the processor can do."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
_BYTE_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})
"""Linux's names for instructions that multiply bytes and sum the products in 32 bits (x86 VNNI, Arm SDOT/UDOT)."""


@cache
def multiplies_bytes(cpuinfo: Path = CPUINFO) -> bool:
    """Whether INT8 pays and is exact here: without such instructions ONNX Runtime's sums on x86 saturate.

    False where Linux's list of flags cannot be read.
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    lines = re.findall(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return bool(lines) and all(_BYTE_PRODUCTS & set(line.split()) for line in lines)
