"""Time, memory and accuracy of both detector tiers and precisions at one and two cores, as the README's table.

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
from itertools import product
from pathlib import Path

import msgspec
import numpy as np

from edge_alpr.app import open_models
from edge_alpr.camera.pictures import load_luma
from edge_alpr.config import Config, ModelsConfig, Precision, StillsConfig, Tier, format_config
from edge_alpr.evaluate import load_dataset

DATA = Path("../shared/data")
SETS = ("dashcam", "openimages")
TIERS: tuple[Tier, ...] = ("large", "small")
PRECISIONS: tuple[Precision, ...] = ("int8", "full")


def speed(models_config: ModelsConfig) -> dict[str, float]:
    """Milliseconds of a 1280x720 frame as a drive reads it, decoded luma to reads, and the process's peak memory."""
    models = open_models(Config(models=models_config, stills=StillsConfig(again_below=0.0)))
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


def accuracy(models_config: ModelsConfig, dataset: str) -> dict[str, float]:
    """Found and read whole (O=0, I=1) of legible plates from 40 px, in percent."""
    with tempfile.TemporaryDirectory() as folder:
        config, report = Path(folder) / "c.toml", Path(folder) / "r.json"
        config.write_text(format_config(msgspec.structs.replace(Config(), models=models_config)))
        verb = [sys.executable, "-m", "edge_alpr.cli", "eval", str(DATA / dataset), "--split", "dev"]
        subprocess.run([*verb, "-c", config, "--json", report], check=True, stdout=subprocess.DEVNULL)
        group = json.loads(report.read_text())["stills"]["groups"]["ok_40px_up"]
    return {"found": 100 * group["recall"], "read": 100 * group["accuracy"]}


def measured(models_config: ModelsConfig) -> dict[str, float]:
    """`speed` in a process of its own, bound to as many cores as threads."""
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[: models_config.threads]))
    child = [sys.executable, __file__, msgspec.json.encode(models_config).decode()]
    told = subprocess.run(["taskset", "-c", cores, *child], check=True, capture_output=True, text=True)
    return dict(json.loads(told.stdout))


def main() -> None:
    """Print the table, or, called with a configuration of the models as JSON, one measurement as JSON."""
    if len(sys.argv) == 2:
        print(json.dumps(speed(msgspec.json.decode(sys.argv[1], type=ModelsConfig))))
        return
    print("| tier | precision | cores | detect, p50 ms | reads, p50 / p99 ms | MB | dash cam | street photos |")
    print("|---|---|---|---|---|---|---|---|")
    for tier, precision in product(TIERS, PRECISIONS):
        right = [accuracy(ModelsConfig(tier=tier, precision=precision), name) for name in SETS]
        shares = " | ".join(f"{r['found']:.1f} / {r['read']:.1f} %" for r in right)
        for threads in (1, 2):
            s = measured(ModelsConfig(tier=tier, precision=precision, threads=threads))
            times = f"{s['detect']:.1f} | {s['p50']:.1f} / {s['p99']:.1f} | {s['rss']:.0f}"
            print(f"| {tier} | {precision} | {threads} | {times} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
