"""What ran when, in Chrome's trace event format: open it in chrome://tracing or ui.perfetto.dev."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_alpr.bench.meter import STAGES, Spans
from edge_alpr.errors import ConfigError

_PROCESS = 1


def write_trace(spans: Spans, file: Path) -> None:
    """Write one lane a stage, times in microseconds from the first span. Raises `ConfigError` if that fails."""
    lanes = {name: lane for lane, name in enumerate(STAGES)}
    events: list[dict[str, object]] = [
        {"name": "thread_name", "ph": "M", "pid": _PROCESS, "tid": lanes[name], "args": {"name": name}}
        for name in STAGES if name in set(spans.names)
    ]  # fmt: skip
    first = min(spans.begins, default=0)
    events += [
        {"name": name, "cat": "stage", "ph": "X", "pid": _PROCESS, "tid": lanes[name],
         "ts": (begin - first) / 1e3, "dur": (end - begin) / 1e3}
        for name, begin, end in zip(spans.names, spans.begins, spans.ends, strict=True)
    ]  # fmt: skip
    try:
        file.write_bytes(msgspec.json.encode({"displayTimeUnit": "ms", "traceEvents": events}))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror or error}; name another file") from error
