"""Checkpoint to model package: python -m export.reader --checkpoint runs/reader/last.pt

The graph takes crops as bytes and gives CTC log-probabilities. It is compared with PyTorch on real crops of
the development split (on rendered ones where the data is missing) before its card is written.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from edge_alpr.geometry import CROP_HEIGHT, CROP_MARGIN_X, CROP_MARGIN_Y, CROP_WIDTH
from edge_alpr.infer.card import Card, InputCard, OutputCard, ReaderCard, TrainingCard
from edge_alpr.infer.package import write_card
from export.calibrate import fit
from export.graph import as_shipped, one_core, to_onnx
from training.fingerprint import data_versions
from training.reader.data import SETS, rendered_sample
from training.reader.model import ALPHABET, BLANK, Reader
from training.reader.train import dev_crops, whole_plates

SHIPPED = Path("edge_alpr/models/plate-reader.onnx")
TOLERANCE = 2e-3
"""Largest difference of a probability."""


def load_reader(path: Path) -> tuple[Reader, dict[str, Any]]:
    """The averaged weights as they ship, and a checkpoint of them in half precision with what made them."""
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    recipe = state["recipe"]
    model = Reader(tuple(recipe["widths"]), recipe["mixers"], tuple(recipe.get("deeper", ())))
    model.load_state_dict({key: value.float() for key, value in state["average"].items()})
    half = {key: value.half() if value.dtype.is_floating_point else value for key, value in state["average"].items()}
    return as_shipped(model), {**{key: state[key] for key in ("recipe", "step", "hours")}, "average": half}


def trial_crops(data: Path) -> dict[str, tuple[torch.Tensor, list[str]]]:
    """Crops and texts of the development split, and 64 rendered ones."""
    samples = [rendered_sample(np.random.default_rng((5, n))) for n in range(64)]
    rendered = torch.from_numpy(np.stack([crop for crop, _ in samples])[:, None]), [text for _, text in samples]
    return {"rendered": rendered, **dev_crops(data)}


def compare(model: Reader, path: Path, crops: torch.Tensor) -> None:
    """Raises `SystemExit` where ONNX and PyTorch differ."""
    session = one_core(path)
    with torch.no_grad():
        wanted = model(crops).exp().numpy()
    for size in (1, 3, 8):
        found: NDArray[np.float32] = np.exp(session.run(["logprobs"], {"crops": crops[:size].numpy()})[0])
        gap = float(np.abs(found - wanted[:size]).max())
        if gap > TOLERANCE:
            sys.exit(f"{path}: ONNX differs from PyTorch by {gap:.4f}")
    found = np.exp(session.run(["logprobs"], {"crops": crops.numpy()})[0])
    if (gap := float(np.abs(found - wanted).max())) > TOLERANCE:
        sys.exit(f"{path}: ONNX differs from PyTorch by {gap:.4f}")


def median_ms(path: Path) -> float:
    """Milliseconds for one crop on one core."""
    session, crop = one_core(path), np.zeros((1, 1, CROP_HEIGHT, CROP_WIDTH), np.uint8)
    times = []
    for _ in range(200):
        start = time.perf_counter()
        session.run(None, {"crops": crop})
        times.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times))


def command(recipe: dict[str, Any]) -> str:
    """The line that trains a reader like this one."""
    start = f" --start {recipe['start']} --rate {recipe['peak_rate']}" if recipe.get("start") else ""
    start += "".join(f" --own {folder}" for folder in recipe.get("own", ()))
    return (
        f"python -m training.reader.train --data ../shared/data --out runs/reader --seed {recipe['seed']} "
        f"--steps {recipe['steps']}{start}"
    )


@dataclass(frozen=True)
class Facts:
    """What the card says besides the checkpoint's own record."""

    figures: dict[str, float]
    temperature: float
    data: list[str]
    machine: str
    note: str


def _card(state: dict[str, Any], facts: Facts) -> Card:
    recipe = state["recipe"]
    return Card(
        name="plate-reader",
        kind="reader",
        version="3",
        sha256="0" * 64,
        licence="Apache-2.0",
        description="Text of one- and two-line plates on upright luma crops: CTC log-probabilities over two rows.",
        input=InputCard(name="crops", shape=(0, 1, CROP_HEIGHT, CROP_WIDTH), dtype="uint8", layout="luma"),
        output=OutputCard(names=("logprobs",)),
        reader=ReaderCard(
            alphabet=ALPHABET, blank=BLANK, margin=(CROP_MARGIN_X, CROP_MARGIN_Y), temperature=facts.temperature
        ),
        training=TrainingCard(
            command=command(recipe),
            hours=round(state["hours"], 2),
            machine=facts.machine,
            seed=recipe["seed"],
        ),
        data={
            "rendered": "training.plates, damaged by training.damage",
            "real": facts.data,
            "crops_seen": int(state["step"] * recipe["batch"]),
            **({"note": facts.note} if facts.note else {}),
        },
        figures=facts.figures,
    )  # fmt: skip


def main(
    checkpoint: Annotated[Path, typer.Option(help="What training wrote.")] = Path("runs/reader/last.pt"),
    out: Annotated[Path, typer.Option(help="The ONNX file to write.")] = SHIPPED,
    data: Annotated[Path, typer.Option(help="Labelled pictures.")] = Path("../shared/data"),
    keep: Annotated[Path | None, typer.Option(help="Also keep the averaged weights there, in half precision.")] = None,
    machine: Annotated[str, typer.Option(help="Where it was trained.")] = "one x86-64 core, bfloat16",
    note: Annotated[str, typer.Option(help="What else to say in the card.")] = "",
) -> None:
    """Export the plate reader with its card."""
    model, state = load_reader(checkpoint)
    partial, blank = out.with_name("." + out.name), torch.zeros((2, 1, CROP_HEIGHT, CROP_WIDTH), dtype=torch.uint8)
    to_onnx(model, blank, partial, ("crops", ["logprobs"]), True)
    figures, answers, session = {}, {}, one_core(partial)
    for name, (crops, texts) in trial_crops(data).items():
        compare(model, partial, crops)
        if name != "rendered":
            figures[f"{name}_dev_whole"] = round(whole_plates(model, crops, texts), 4)
            answers[name] = session.run(["logprobs"], {"crops": crops.numpy()})[0], texts
    temperature = 1.0
    if answers:
        found = fit(answers)
        temperature = found.temperature
        figures |= {"dev_ece_at_temperature_1": round(found.ece_before, 4), "dev_ece": round(found.ece_after, 4)}
    figures["median_ms_one_core"] = round(median_ms(partial), 2)
    partial.replace(out)
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB, {figures}")
    facts = Facts(figures, temperature, data_versions(data, tuple(SETS)), machine, note)
    write_card(out, _card(state, facts))
    if keep is not None:
        keep.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, keep)


if __name__ == "__main__":
    typer.run(main)
