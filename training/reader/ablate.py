"""What the reader should be shown: each way to prepare a crop, trained alike on the same crops, and how well it reads.

    python -m training.reader.ablate --data ../shared/data --out runs/ablation --start training/checkpoints/reader.pt

All ways see the same crops in the same order, drawn in colour once and kept on disk. They start from one trained
reader, so what is measured is what a way adds or loses after it has been learnt for a while, not the last tenth.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from edge_alpr.geometry import normalise_light, rectify
from training.plates import render_plate
from training.reader.data import Grey, RealPlate, draw_real, load_real, photographed, seen_again
from training.reader.model import Reader, conv
from training.reader.train import Recipe, Trainer, whole_plates

Colours = NDArray[np.uint8]
"""(..., 3, 32, 128) blue, green, red."""
REAL_SHARE = 0.4
Y = np.array([0.114, 0.587, 0.299], np.float32)


def luma(crop: Colours) -> Grey:
    return np.asarray(np.tensordot(Y, crop.astype(np.float32), 1) + 0.5, np.uint8)


def _local_contrast(crop: Grey) -> Grey:
    return np.asarray(cv2.createCLAHE(2.0, (2, 4)).apply(crop), np.uint8)


def _gamma(crop: Grey) -> Grey:
    """Brings the mean to the middle by a power law."""
    mean = float(np.clip(crop.mean() / 255, 0.02, 0.98))
    table = 255 * (np.arange(256) / 255) ** (np.log(0.5) / np.log(mean))
    return np.asarray(cv2.LUT(crop, table.astype(np.uint8)), np.uint8)


def _colour(crop: Colours) -> Colours:
    """Mean and contrast of the three channels together, brought to those of `normalise_light`."""
    wide = normalise_light(np.ascontiguousarray(crop.reshape(3 * crop.shape[1], crop.shape[2])))
    return wide.reshape(crop.shape)


WAYS: dict[str, Callable[[Colours], NDArray[np.uint8]]] = {
    "luma, mean and contrast (as shipped)": lambda crop: normalise_light(luma(crop))[None],
    "luma as it is": lambda crop: luma(crop)[None],
    "local contrast (CLAHE), then mean and contrast": lambda crop: normalise_light(_local_contrast(luma(crop)))[None],
    "gamma, then mean and contrast": lambda crop: normalise_light(_gamma(luma(crop)))[None],
    "histogram equalised": lambda crop: np.asarray(cv2.equalizeHist(luma(crop)), np.uint8)[None],
    "colour (RGB), mean and contrast": _colour,
}


def load_colours(data: Path, split: str) -> dict[str, list[tuple[RealPlate, ...]]]:
    """Each real plate three times: as blue, green and red show it."""

    def channel(number: int) -> Callable[[Path], Grey]:
        return lambda path: np.ascontiguousarray(cv2.imread(str(path), cv2.IMREAD_COLOR)[..., number])

    sets = [load_real(data, split, read=channel(number)) for number in range(3)]
    return {name: list(zip(*(found[name] for found in sets), strict=True)) for name in sets[0]}


def colour_sample(real: dict[str, list[tuple[RealPlate, ...]]], seed: tuple[int, int]) -> tuple[Colours, str]:
    """A crop (3, 32, 128), all channels under the same harm, and its text."""
    rng = np.random.default_rng(seed)
    if rng.random() < REAL_SHARE:
        plates = draw_real(real, rng)  # type: ignore[arg-type]  # a triple in place of a plate
        return np.stack([seen_again(plate, np.random.default_rng(seed)) for plate in plates]), plates[0].text  # type: ignore[attr-defined]
    plate = render_plate(rng)
    tints = rng.uniform(0.55, 1.1, 3) if rng.random() < 0.5 else np.ones(3)
    tinted = [replace(plate, luma=np.clip(plate.luma * tint, 0, 255).astype(np.uint8)) for tint in tints]
    return np.stack([photographed(one, np.random.default_rng(seed)) for one in tinted]), plate.text


def draw_crops(data: Path, out: Path, count: int, seed: int) -> tuple[Colours, list[str]]:
    """The crops of all ways, drawn once: `crops.npy` and `texts.json` in `out`."""
    if not (out / "texts.json").exists():
        real = load_colours(data, "train")
        crops = np.lib.format.open_memmap(out / "crops.npy", "w+", np.uint8, (count, 3, 32, 128))
        texts = []
        for row in track(range(count), "crops"):
            crops[row], text = colour_sample(real, (seed, row))
            texts.append(text)
        crops.flush()
        (out / "texts.json").write_text(json.dumps(texts))
    return np.load(out / "crops.npy", mmap_mode="r"), json.loads((out / "texts.json").read_text())


def dev_colours(data: Path) -> dict[str, tuple[Colours, list[str]]]:
    """Crops of the development split by the labels' boxes, the same for every way."""
    return {
        name: (
            np.stack([[rectify(plate.luma, plate.quads[0]) for plate in plates] for plates in found]),
            [plates[0].text for plates in found],
        )
        for name, found in load_colours(data, "dev").items()
        if found
    }


def in_colour(model: Reader, channels: int) -> None:
    """Widen the first layer: it starts as if all channels showed the luma."""
    if channels == 1:
        return
    first = conv(channels, model.body[0][0].out_channels, (2, 2))
    first.load_state_dict({**model.body[0].state_dict(), "0.weight": model.body[0][0].weight.repeat(1, 3, 1, 1) / 3})
    model.body[0] = first


def trial(name: str, args: argparse.Namespace, crops: Colours, texts: list[str]) -> dict[str, float]:
    """Train one way over all crops; share of the development plates read whole, by set."""
    way, size = WAYS[name], Recipe.batch
    recipe = Recipe(seed=args.seed, steps=args.epochs * len(texts) // size, start=args.start, peak_rate=args.rate)
    trainer = Trainer(recipe, args.out)
    for model in (trainer.model, trainer.average):
        in_colour(model, way(crops[0]).shape[0])
    trainer.optimiser = torch.optim.AdamW(trainer.model.parameters(), weight_decay=recipe.weight_decay)
    order = np.random.default_rng(args.seed).permutation(np.arange(args.epochs * len(texts)) % len(texts))
    for step in track(range(recipe.steps), name):
        rows = order[step * size : (step + 1) * size]
        trainer.learn(torch.from_numpy(np.stack([way(crops[row]) for row in rows])), [texts[row] for row in rows])
    return {
        dev: whole_plates(trainer.average, torch.from_numpy(np.stack([way(crop) for crop in shown])), truth)
        for dev, (shown, truth) in dev_colours(args.data).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--start", default="training/checkpoints/reader.pt", help="the reader that all ways start from")
    parser.add_argument("--crops", type=int, default=30_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--only", nargs="*", type=int, help="numbers of the ways, for several processes at once")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    crops, texts = draw_crops(args.data, args.out, args.crops, args.seed)
    for number, name in enumerate(WAYS):
        if args.only is None or number in args.only:
            found = trial(name, args, crops, texts)
            (args.out / f"way{number}.json").write_text(json.dumps({"way": name, **found}))
            print(name, {dev: round(share, 4) for dev, share in found.items()}, flush=True)


if __name__ == "__main__":
    main()
