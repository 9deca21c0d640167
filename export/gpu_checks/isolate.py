"""Each check in a process of its own: one that hangs or crashes ends as a line, and the next one starts afresh."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from export.gpu_checks.line import Line

_LEAST_S = 5.0
"""Less is left for no check."""


def checked_apart(check: str, arguments: Sequence[str], limit_s: float) -> Iterator[Line]:
    """The lines of a check that runs as `python -m export.gpu_checks --into FILE --only CHECK`."""
    if limit_s < _LEAST_S:
        yield _failed(check, "no time was left; run it alone: --only " + check)
        return
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gpu-checks-") as folder:
        lines, said = Path(folder, "lines"), Path(folder, "said")
        lines.touch()
        with said.open("wb") as output:
            command = [sys.executable, "-m", "export.gpu_checks", "--into", str(lines), "--only", check, *arguments]
            child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
            problem = _waited(child, limit_s)
        found = [msgspec.json.decode(line, type=Line) for line in lines.read_bytes().splitlines()]
        last = said.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2][:300]
    yield from found
    if problem or not found:
        yield _failed(check, f"{problem or 'it said nothing'}; {last}".strip("; "), time.monotonic() - began)


def _waited(child: subprocess.Popen[bytes], limit_s: float) -> str:
    """How it ended, where it did not end well."""
    try:
        code = child.wait(limit_s)
    except BaseException as error:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            return f"stopped after {limit_s:.0f} s"
        raise
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"ended with {code}" if code else ""


def _failed(check: str, why: str, seconds: float = 0.0) -> Line:
    return Line(check=check, what="the check", result="failed", why=why, seconds=round(seconds, 2))
