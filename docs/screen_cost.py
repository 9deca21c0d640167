"""What a looked-at screen costs the drive, on the sample drive: python docs/screen_cost.py [PAIRS]"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from edge_alpr.config import Config, DisplayConfig, StoreConfig
from edge_alpr.drive import Drive, Screen
from edge_alpr.ops.liveview import WATCHING


def drive(looked_at: bool) -> tuple[float, float]:
    """Frames a second, and milliseconds of processor time a frame."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(store=StoreConfig(path=f"{folder}/store"), display=DisplayConfig(runtime=f"{folder}/run"))
        ended = threading.Event()

        def look() -> None:
            while looked_at and not ended.wait(1.0):
                (Path(folder) / "run" / WATCHING).touch()

        looking = threading.Thread(target=look)
        looking.start()
        spent = time.process_time()
        summary = Drive(config, Screen()).run()
        spent = time.process_time() - spent
        ended.set()
        looking.join()
    return summary.fps, 1e3 * spent / summary.frames


def main(pairs: int) -> None:
    """Both in turn, so that what else the machine does touches both alike."""
    drive(False)
    runs = np.array([(drive(False), drive(True)) for _ in range(pairs)])
    for name, place in (("fps", 0), ("processor ms a frame", 1)):
        without, looked = np.median(runs[:, 0, place]), np.median(runs[:, 1, place])
        change = np.median(runs[:, 1, place] / runs[:, 0, place]) - 1
        print(f"{name}: {without:.1f} without, {looked:.1f} looked at, {change:+.1%} (median of {pairs} pairs)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
