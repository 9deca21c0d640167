"""The board under the program: what it draws, how hot it is, which power mode it is in. See `open_board`."""

from __future__ import annotations

from pathlib import Path

from edge_alpr.device.board import Board, BoardReading
from edge_alpr.device.jetson import Jetson, is_jetson
from edge_alpr.device.pc import Pc
from edge_alpr.device.watch import BoardWatch

__all__ = ["Board", "BoardReading", "BoardWatch", "open_board"]


def open_board(root: Path = Path("/")) -> Board:
    """The board whose `/sys`, `/proc` and `/etc` lie under `root`: a Jetson, else a PC."""
    return Jetson(root) if is_jetson(root) else Pc(root)
