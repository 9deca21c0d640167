"""Does what the plan says: each command's output goes to a log, its last line to the screen."""

from __future__ import annotations

import os
import subprocess
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from flash_tool.plan import Command, Plan
from flash_tool.problems import FlashError, remedy_of

Told = Callable[[str, str], None]
"""Hears of the command that runs, and of each line that it says."""
_LAST = 15


def carry_out(plan: Plan, log: Path, tell: Told) -> None:
    """Write the table and run the commands.

    Raises:
        FlashError: a command failed, or a file cannot be written; the message has the way out.
    """
    try:
        plan.table.write_text(plan.table_text, encoding="utf-8")
        with log.open("w", encoding="utf-8") as file:
            for command in plan.commands:
                _run(command, plan.folder, file, tell)
    except OSError as error:
        raise FlashError(f"{error.filename}: {error.strerror}; run it with sudo") from error


def _run(command: Command, folder: Path, log: TextIO, tell: Told) -> None:
    log.write(f"$ {command}\n")
    last: deque[str] = deque(maxlen=_LAST)
    with subprocess.Popen(
        command.argv,
        cwd=folder,
        env={**os.environ, **command.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            log.flush()
            last.append(line.rstrip())
            tell(command.what, line.rstrip())
    if process.returncode:
        output = "\n".join(last)
        raise FlashError(
            f"{output}\n{command.what}: exit status {process.returncode}; {remedy_of(output)}. The log: {log.name}"
        )
