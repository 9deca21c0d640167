"""Checkpoint to model package: python -m export.detector --checkpoint runs/detector/last.pt

The graph takes a letterboxed luma frame as bytes and gives the best peaks as scores and corners. It is
compared with PyTorch on real and on random pictures before it is written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from edge_alpr.infer.card import Card, DetectorCard, InputCard, OutputCard, TrainingCard
from edge_alpr.infer.package import write_card
from export.graph import one_core, to_onnx
from training.detector.model import HEIGHT, PADDING, TIERS, TOP_K, WIDTH, Detector, PlateNet
from training.detector.pictures import load_set
from training.detector.score import THRESHOLD, Tally, letterbox, score
from training.fingerprint import data_versions

Luma = NDArray[np.uint8]
SHIPPED = Path("edge_alpr/models/plate-detector.onnx")
Floats = NDArray[np.float32]
SCORE_TOLERANCE, CORNER_TOLERANCE_PX = 1e-3, 0.05
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


def _card(
    state: dict[str, Any], figures: dict[str, float], versions: list[str], machine: str, note: str
) -> Card:
    recipe = state["recipe"]
    length = f"--hours {recipe['hours']}" if recipe["hours"] else f"--steps {recipe['steps']}"
    tier = recipe.get("tier", "large")
    start = f" --start {recipe['start']} --rate {recipe['rate']}" if recipe.get("start") else ""
    return Card(
        name="plate-detector" if tier == "large" else f"plate-detector-{tier}",
        kind="detector",
        version="1",
        sha256="0" * 64,
        licence="Apache-2.0",
        description="Number plates on a letterboxed luma frame: score and four corners, best peaks first.",
        input=InputCard(name="luma", shape=(1, 1, HEIGHT, WIDTH), dtype="uint8", layout="luma"),
        output=OutputCard(names=("scores", "quads")),
        detector=DetectorCard(pad=PADDING, top_k=TOP_K, tier=tier),
        training=TrainingCard(
            command=f"python -m training.detector.train --data ../shared/data --out runs/detector --tier {tier} "
            f"--seed {recipe['seed']} {length}{start}",
            hours=round(state["seconds"] / 3600, 2),
            machine=machine,
            seed=recipe["seed"],
        ),
        data={
            "pictures": versions,
            "plates": "rendered by training.plates, composed into the pictures; real boxes too",
            "images_seen": int(state["images"]),
            **({"note": note} if note else {}),
        },
        figures={**figures, "threshold": THRESHOLD},
    )  # fmt: skip


def main(
    checkpoint: Annotated[Path, typer.Option(help="What training wrote.")] = Path("runs/detector/last.pt"),
    out: Annotated[Path, typer.Option(help="The ONNX file to write.")] = SHIPPED,
    data: Annotated[Path, typer.Option(help="Labelled pictures.")] = Path("../shared/data"),
    keep: Annotated[Path | None, typer.Option(help="Also keep the averaged weights there.")] = None,
    machine: Annotated[str, typer.Option(help="Where it was trained.")] = "one x86-64 core, bfloat16",
    note: Annotated[str, typer.Option(help="What else to say in the card.")] = "",
) -> None:
    """Export the plate detector with its card."""
    state = load_checkpoint(checkpoint)
    net = PlateNet(TIERS[state["recipe"].get("tier", "large")])
    net.load_state_dict(state["mean"])
    detector = Detector(net)
    partial = out.with_name("." + out.name)
    build_graph(detector, partial)
    exported = OnnxDetector(partial)
    agreed = compare(detector, exported, trial_pictures(data, HEIGHT, WIDTH))
    print(f"ONNX and PyTorch agree on {agreed} pictures, {partial.stat().st_size / 1e6:.2f} MB")
    figures = _figures(exported, data)
    partial.replace(out)
    versions = data_versions(data, ("dashcam", "openimages", "campus", "road_negatives", "video"))
    print(f"wrote {out} and {write_card(out, _card(state, figures, versions, machine, note)).name}")
    if keep:
        keep.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, keep)


if __name__ == "__main__":
    typer.run(main)
