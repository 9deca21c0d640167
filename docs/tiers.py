"""Time, memory and accuracy of both detector tiers at one and two cores, as the README's table.

    python docs/tiers.py            (needs ../shared/data; nothing else should run)
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from edge_alpr.app import open_models
from edge_alpr.camera.pictures import load_luma
from edge_alpr.config import Config, ModelsConfig, Tier, format_config
from edge_alpr.evaluate import load_dataset

DATA = Path("../shared/data")
SETS = ("dashcam", "openimages")
TIERS: tuple[Tier, ...] = ("large", "small")


def speed(tier: Tier, threads: int) -> dict[str, float]:
    """Milliseconds of a 1280x720 frame, from decoded luma to reads, and the process's peak memory."""
    models = open_models(Config(models=ModelsConfig(tier=tier, threads=threads)))
    frames = [load_luma(image.path) for image in load_dataset(DATA / "dashcam", "dev")]
    for frame in frames[:10]:
        models.observe(frame)
    detect, total = [], []
    for _ in range(3):
        for frame in frames:
            start = time.perf_counter()
            _, spent = models.observe(frame)
            total.append((time.perf_counter() - start) * 1e3)
            detect.append(spent["detect"])
    return {
        "detect": float(np.median(detect)),
        "p50": float(np.median(total)),
        "p99": float(np.percentile(total, 99)),
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def accuracy(tier: Tier, dataset: str) -> dict[str, float]:
    """Found and read whole (O=0, I=1) of legible plates from 40 px, in percent."""
    with tempfile.TemporaryDirectory() as folder:
        config, report = Path(folder) / "c.toml", Path(folder) / "r.json"
        config.write_text(format_config(msgspec.structs.replace(Config(), models=ModelsConfig(tier=tier))))
        verb = [sys.executable, "-m", "edge_alpr.cli", "eval", str(DATA / dataset), "--split", "dev"]
        subprocess.run([*verb, "-c", config, "--json", report], check=True, stdout=subprocess.DEVNULL)
        group = json.loads(report.read_text())["stills"]["groups"]["ok_40px_up"]
    return {"found": 100 * group["recall"], "read": 100 * group["accuracy"]}


def measured(tier: Tier, threads: int) -> dict[str, float]:
    """`speed` in a process of its own, bound to so many cores."""
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:threads]))
    child = [sys.executable, __file__, tier, str(threads)]
    told = subprocess.run(["taskset", "-c", cores, *child], check=True, capture_output=True, text=True)
    return dict(json.loads(told.stdout))


def main() -> None:
    """Print the table, or, called with a tier and a number of threads, one measurement as JSON."""
    if len(sys.argv) == 3:
        print(json.dumps(speed("small" if sys.argv[1] == "small" else "large", int(sys.argv[2]))))
        return
    print("| tier | cores | detect, p50 ms | frame to reads, p50 / p99 ms | memory, MB | dash cam | street photos |")
    print("|---|---|---|---|---|---|---|")
    for tier in TIERS:
        right = [accuracy(tier, name) for name in SETS]
        shares = " | ".join(f"{r['found']:.1f} / {r['read']:.1f} %" for r in right)
        for threads in (1, 2):
            s = measured(tier, threads)
            times = f"{s['detect']:.1f} | {s['p50']:.1f} / {s['p99']:.1f} | {s['rss']:.0f}"
            print(f"| {tier} | {threads} | {times} | {shares} |")


if __name__ == "__main__":
    main()
