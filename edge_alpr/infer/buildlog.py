"""What TensorRT says while it builds: its log, its progress, and its reasons as our errors."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from edge_alpr.errors import BuildError, BuildMemoryError

Step: TypeAlias = Callable[[str, str, int, int], None]
"""Told of progress: phase, the phase it is part of (or ``), steps done, steps in all."""
_KEPT_LINES = 64
_MEMORY = re.compile(r"out ?of ?memory|insufficient memory|memory allocation|not enough memory", re.IGNORECASE)
_DOING = re.compile(r"While parsing node number \d+ \[.*?\]")


def open_log(trt: Any) -> Any:
    """A logger that keeps the latest warnings and errors: they say why when a call only says no."""
    told = trt.ILogger.Severity
    errors, warnings = (told.ERROR, told.INTERNAL_ERROR), (told.WARNING,)

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=_KEPT_LINES)
            self.lines: deque[str] = deque(maxlen=_KEPT_LINES)

        def log(self, severity: Any, message: str) -> None:
            if severity in errors:
                self.errors.append(message)
            if severity in errors + warnings:
                self.lines.append(message)

    return Log()


def watch(trt: Any, config: Any, step: Step | None) -> Any:
    """Tell of progress where the version does; None where it does not (8.6). Ctrl-C stops the build."""
    if step is None or not hasattr(trt, "IProgressMonitor"):
        return None
    tell = step

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.stopped = False
            self._phases: dict[str, tuple[str, int]] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._phases[phase_name] = parent_phase or "", num_steps
            self._tell(phase_name, 0)

        def phase_finish(self, phase_name: str) -> None:
            self._tell(phase_name, self._phases.get(phase_name, ("", 0))[1])
            self._phases.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._tell(phase_name, step + 1)
            return not self.stopped

        def _tell(self, phase: str, done: int) -> None:
            parent, steps = self._phases.get(phase, ("", 0))
            try:
                tell(phase, parent, done, steps)
            except KeyboardInterrupt:  # no exception may pass through TensorRT
                self.stopped = True

    config.progress_monitor = monitor = Monitor()
    return monitor


def parse_failed(parser: Any, log: Any) -> BuildError:
    """The parser's reasons, with the node and its operator."""
    reasons = [_parse_error(parser.get_error(i)) for i in range(parser.num_errors)]
    # 8.6 tells name and operator only in its log.
    doing = [found[0] for line in log.errors if (found := _DOING.search(line))]
    return BuildError("TensorRT cannot parse the graph: " + ("; ".join([*reasons, *doing[-1:]]) or "no reason given"))


def build_failed(what: str, log: Any, error: BaseException | None = None) -> BuildError:
    """An error with what TensorRT logged last; a `BuildMemoryError` where it speaks of memory."""
    said = log.errors[-1] if log.errors else log.lines[-1] if log.lines else "no reason given"
    reason = " ".join(f"{what}: {said}".split())[:400]
    if isinstance(error, MemoryError) or any(map(_MEMORY.search, [what, *log.lines])):
        return BuildMemoryError(
            f"the memory ran out while building ({reason}); close other programs, the desktop first, "
            "or set a smaller workspace_mb in a recipe.toml beside the graphs, then build again"
        )
    return BuildError(f"{reason}; see edge-alpr doctor")


def _parse_error(error: Any) -> str:
    where = f"node {error.node()}"
    if hasattr(error, "node_operator"):
        where += f" {error.node_name()} ({error.node_operator()})"
    return f"{where}: {error.desc()}"
