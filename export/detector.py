"""Checkpoint to model package: python -m export.detector --checkpoint runs/detector/last.pt

The graph takes a letterboxed luma frame as bytes and gives the best peaks as scores and corners. It is
compared with PyTorch on real and on random pictures before it is written.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from edge_alpr.infer.card import Card, DetectorCard, DetectorTier, InputCard, OutputCard, TrainingCard
from edge_alpr.infer.package import write_card
from export.graph import as_shipped, one_core, to_onnx
from training.detector.model import HEIGHT, PADDING, TIERS, TOP_K, WIDTH, Detector, PlateNet
from training.detector.pictures import load_set
from training.detector.score import THRESHOLD, Tally, letterbox, score
from training.fingerprint import data_versions

Luma = NDArray[np.uint8]
SHIPPED = Path("edge_alpr/models/plate-detector.onnx")
Floats = NDArray[np.float32]
VERSION = "3"
DESCRIPTIONS: dict[DetectorTier, str] = {
    "large": "Number plates on a letterboxed luma frame: score and four corners, best peaks first.",
    "small": "The same at a third of the cost, for boards short of power.",
    "near": "One plate again, in a window of the frame's own pixels: its corners.",
}
SCORE_TOLERANCE, CORNER_TOLERANCE_PX = 1e-3, 0.05
NEAR = (96, 160)
"""Rows and columns of the window in which one plate is looked at again."""
COMPARED_FROM = 0.1
"""Peaks below this score are not compared corner by corner: equal ones may change places."""


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The averaged weights and what made them."""
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return {key: state[key] for key in ("mean", "recipe", "images", "seconds", "step")}


def build_graph(detector: Detector, path: Path) -> None:
    """Write the ONNX file: opset 17, batch norms folded, constants folded."""
    size = detector.centres.amax(0)
    height, width = int(size[1]) + 5, int(size[0]) + 5
    blank = torch.zeros((1, 1, height, width), dtype=torch.uint8)
    to_onnx(detector, blank, path, ("luma", ["scores", "quads"]), False)


class OnnxDetector:
    """The exported file on one core."""

    def __init__(self, path: Path) -> None:
        self.session = one_core(path)

    def __call__(self, luma: Luma) -> tuple[Floats, Floats]:
        scores, quads = self.session.run(["scores", "quads"], {"luma": luma[None, None]})
        return scores[0], quads[0]


def trial_pictures(data: Path, height: int, width: int) -> Iterator[Luma]:
    """Noise, and real pictures where there are any."""
    rng = np.random.default_rng(3)
    for _ in range(4):
        coarse = rng.integers(0, 256, (height // 16, width // 16), dtype=np.uint8)
        yield np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    if (data / "dashcam").is_dir():
        for picture in load_set(data, "dashcam", "dev")[::4] + load_set(data, "openimages", "dev")[::4]:
            grey = np.asarray(cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2GRAY), np.uint8)
            yield letterbox(grey, (width, height))[0]


def compare(detector: Detector, exported: OnnxDetector, pictures: Iterator[Luma]) -> int:
    """How many pictures agreed. Raises `SystemExit` at the first one that does not."""
    count = 0
    for count, luma in enumerate(pictures, start=1):
        with torch.no_grad():
            scores, quads = (t[0].numpy() for t in detector.eval()(torch.from_numpy(luma)[None, None]))
        found_scores, found_quads = exported(luma)
        clear = scores > COMPARED_FROM
        score_gap = float(np.abs(scores - found_scores).max())
        corner_gap = float(np.abs(quads[clear] - found_quads[clear]).max()) if clear.any() else 0.0
        if score_gap > SCORE_TOLERANCE or corner_gap > CORNER_TOLERANCE_PX:
            sys.exit(f"picture {count}: ONNX differs from PyTorch, score {score_gap:.4f}, {corner_gap:.3f} px")
    return count


def _figures(exported: OnnxDetector, data: Path) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name in ("dashcam", "openimages"):
        if not (data / name).is_dir():
            print(f"{data / name} is missing: its figures are left out of the card")
            continue
        pictures = load_set(data, name, "dev")
        tally: Tally = score(exported, pictures)
        print(f"{name} dev: {tally}")
        figures[f"{name}_dev_recall_at_iou_0.3"] = round(tally.recall, 4)
        if all(picture.sure for picture in pictures):
            figures[f"{name}_dev_precision"] = round(tally.precision, 4)
    return figures


@dataclass(frozen=True)
class Facts:
    """What the card says besides the checkpoint's own record."""

    shape: tuple[int, int]
    figures: dict[str, float]
    data: list[str]
    machine: str
    note: str


def _card(state: dict[str, Any], facts: Facts) -> Card:
    recipe = state["recipe"]
    length = f"--hours {recipe['hours']}" if recipe["hours"] else f"--steps {recipe['steps']}"
    trained = recipe.get("tier", "large")
    tier: DetectorTier = trained if facts.shape == (HEIGHT, WIDTH) else "near"
    start = f" --start {recipe['start']} --rate {recipe['rate']}" if recipe.get("start") else ""
    start += "".join(f" --own {folder}" for folder in recipe.get("own", ()))
    return Card(
        name="plate-detector" if tier == "large" else f"plate-detector-{tier}",
        kind="detector",
        version=VERSION,
        sha256="0" * 64,
        licence="Apache-2.0",
        description=DESCRIPTIONS[tier],
        input=InputCard(name="luma", shape=(1, 1, *facts.shape), dtype="uint8", layout="luma"),
        output=OutputCard(names=("scores", "quads")),
        detector=DetectorCard(pad=PADDING, top_k=TOP_K, tier=tier),
        training=TrainingCard(
            command=f"python -m training.detector.train --data ../shared/data --out runs/detector --tier {trained} "
            f"--seed {recipe['seed']} {length}{start}",
            hours=round(state["seconds"] / 3600, 2),
            machine=facts.machine,
            seed=recipe["seed"],
        ),
        data={
            "pictures": facts.data,
            "plates": "rendered by training.plates, composed into the pictures; real plates too, their corners seen "
            "from near by the detector before",
            "images_seen": int(state["images"]),
            **({"note": facts.note} if facts.note else {}),
        },
        figures={**facts.figures, "threshold": THRESHOLD},
    )


def main(
    checkpoint: Annotated[Path, typer.Option(help="What training wrote.")] = Path("runs/detector/last.pt"),
    out: Annotated[Path, typer.Option(help="The ONNX file to write.")] = SHIPPED,
    near: Annotated[bool, typer.Option("--near", help="For windows with one plate: where are its corners?")] = False,
    data: Annotated[Path, typer.Option(help="Labelled pictures.")] = Path("../shared/data"),
    keep: Annotated[Path | None, typer.Option(help="Also keep the averaged weights there.")] = None,
    machine: Annotated[str, typer.Option(help="Where it was trained.")] = "one x86-64 core, bfloat16",
    note: Annotated[str, typer.Option(help="What else to say in the card.")] = "",
) -> None:
    """Export the plate detector with its card."""
    state = load_checkpoint(checkpoint)
    net = PlateNet(TIERS[state["recipe"].get("tier", "large")])
    net.load_state_dict(state["mean"])
    shape = NEAR if near else (HEIGHT, WIDTH)
    detector = as_shipped(Detector(net, *shape))
    partial = out.with_name("." + out.name)
    build_graph(detector, partial)
    exported = OnnxDetector(partial)
    agreed = compare(detector, exported, trial_pictures(data, *shape))
    print(f"ONNX and PyTorch agree on {agreed} pictures, {partial.stat().st_size / 1e6:.2f} MB")
    figures = {} if near else _figures(exported, data)
    figures["median_ms_one_core"] = median_ms(exported, shape)
    partial.replace(out)
    versions = data_versions(data, ("dashcam", "openimages", "campus", "road_negatives", "video"))
    card = _card(state, Facts(shape, figures, versions, machine, note))
    print(f"wrote {out} and {write_card(out, card).name}")
    if keep:
        keep.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, keep)


def median_ms(exported: OnnxDetector, shape: tuple[int, int]) -> float:
    """Milliseconds for one picture on one core."""
    luma, times = np.full(shape, 90, np.uint8), []
    for _ in range(150):
        start = time.perf_counter()
        exported(luma)
        times.append((time.perf_counter() - start) * 1e3)
    return round(float(np.median(times)), 2)


if __name__ == "__main__":
    typer.run(main)
