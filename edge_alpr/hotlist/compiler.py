"""Compiles the list on standard input: `python -m edge_alpr.hotlist.compiler NAME TARGET [CLASS…]`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from edge_alpr.errors import HotListError, ListNotKeptError
from edge_alpr.hotlist.compiled import compile_list
from edge_alpr.hotlist.folder import NOT_KEPT, write_compiled
from edge_alpr.hotlist.keys import Classes


def main(name: str, target: str, *classes: str) -> int:
    """0, or 2 with one line on standard error; `NOT_KEPT` where only the writing failed."""
    with suppress(OSError):
        os.nice(10)  # the drive comes first
    path = Path(name)
    try:
        compiled = compile_list(sys.stdin.buffer.read(), path.suffix.lower(), path.stem, Classes(classes))
        write_compiled(compiled, Path(target))
    except ListNotKeptError:
        return NOT_KEPT
    except HotListError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
