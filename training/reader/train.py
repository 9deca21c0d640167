"""Train the reader. One command, fixed seeds, resumable: run it again and it goes on from its checkpoint.

    python -m training.reader.train --data ../shared/data --out runs/reader
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from edge_alpr.geometry import normalise_light, rectify
from training.curves import draw_curves
from training.detector.corners import shipped_detector
from training.reader.data import RealPlate, batch, load_real
from training.reader.model import ALPHABET, BLANK, Reader


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the outcome, written beside the checkpoint."""

    seed: int = 7
    steps: int = 9500
    batch: int = 96
    start: str = ""
    peak_rate: float = 2.0e-3
    weight_decay: float = 0.02
    real_share_first: float = 0.08
    real_share_last: float = 0.4
    average: float = 0.999
    widths: tuple[int, int, int, int] = (32, 56, 80, 112)
    mixers: int = 2
    deeper: tuple[int, ...] = (4, 9)
    own: tuple[str, ...] = ()


class Batches(IterableDataset[tuple[Tensor, list[str]]]):
    """Batches by number: step `n` is the same whatever was run before it."""

    def __init__(self, recipe: Recipe, real: dict[str, list[RealPlate]], first: int) -> None:
        self.recipe, self.real, self.first = recipe, real, first

    def __iter__(self) -> Iterator[tuple[Tensor, list[str]]]:
        recipe = self.recipe
        for step in range(self.first, recipe.steps):
            share = recipe.real_share_first + (recipe.real_share_last - recipe.real_share_first) * step / recipe.steps
            crops, texts = batch(recipe.batch, share, self.real, np.random.default_rng((recipe.seed, step)))
            yield torch.from_numpy(crops), texts


def rate(step: int, recipe: Recipe) -> float:
    """Warm up over 300 steps, then a cosine to a hundredth."""
    if step < 300:
        return recipe.peak_rate * (step + 1) / 300
    done = (step - 300) / max(1, recipe.steps - 300)
    return recipe.peak_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def ctc(logprobs: Tensor, texts: list[str]) -> Tensor:
    targets = torch.tensor([ALPHABET.index(c) for text in texts for c in text])
    lengths = torch.tensor([len(text) for text in texts])
    steps = torch.full((len(texts),), logprobs.shape[1])
    return torch.nn.functional.ctc_loss(
        logprobs.transpose(0, 1), targets, steps, lengths, blank=BLANK, zero_infinity=True
    )


def greedy(logprobs: NDArray[np.float32]) -> str:
    best = logprobs.argmax(axis=1)
    return "".join(ALPHABET[c] for c, before in zip(best, [BLANK, *best[:-1]], strict=True) if c not in (BLANK, before))


def dev_crops(data: Path) -> dict[str, tuple[Tensor, list[str]]]:
    """Crops of the development split as the product cuts them (by the label's box where the detector misses)."""
    crops = {}
    for name, plates in load_real(data, "dev", shipped_detector()).items():
        if plates:
            images = [normalise_light(rectify(p.luma, p.quads[-1])) for p in plates]
            crops[name] = torch.from_numpy(np.stack(images)[:, None]), [p.text for p in plates]
    return crops


@torch.no_grad()
def whole_plates(model: Reader, crops: Tensor, texts: list[str]) -> float:
    """Share of plates read whole (O=0, I=1)."""
    fold = str.maketrans("OI", "01")
    out = torch.cat([model(part) for part in crops.split(64)]).numpy()
    return float(np.mean([greedy(y).translate(fold) == t.translate(fold) for y, t in zip(out, texts, strict=True)]))


class Trainer:
    """The state that a checkpoint keeps."""

    def __init__(self, recipe: Recipe, out: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.out, self.step, self.hours = recipe, out, 0, 0.0
        self.model = Reader(recipe.widths, recipe.mixers, recipe.deeper)
        if recipe.start:
            self.model.start_from(torch.load(recipe.start, weights_only=True)["average"])
        self.model.to(memory_format=torch.channels_last)
        self.average = Reader(recipe.widths, recipe.mixers, recipe.deeper).eval()
        self.average.load_state_dict(self.model.state_dict())
        self.optimiser = torch.optim.AdamW(self.model.parameters(), weight_decay=recipe.weight_decay)

    def resume(self) -> None:
        path = self.out / "last.pt"
        if path.exists():
            state = torch.load(path, weights_only=False)
            self.step, self.hours = state["step"], state["hours"]
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])

    def save(self) -> None:
        state = {
            "recipe": asdict(self.recipe), "step": self.step, "hours": self.hours, "model": self.model.state_dict(),
            "average": self.average.state_dict(), "optimiser": self.optimiser.state_dict(),
        }
        torch.save(state, self.out / "last.part")
        (self.out / "last.part").rename(self.out / "last.pt")

    def learn(self, crops: Tensor, texts: list[str]) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = rate(self.step, self.recipe)
        with torch.autocast("cpu", torch.bfloat16):
            logprobs = self.model(crops.float())
        loss = ctc(logprobs, texts)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        self._move_average()
        return loss.item()

    @torch.no_grad()
    def _move_average(self) -> None:
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        live = self.model.state_dict()
        for key, value in self.average.state_dict().items():
            if value.dtype.is_floating_point:
                value.mul_(keep).add_(live[key], alpha=1 - keep)
            else:
                value.copy_(live[key])


def _log(path: Path, row: dict[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)


def train(recipe: Recipe, data: Path, out: Path, every: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    trainer = Trainer(recipe, out)
    trainer.resume()
    own = [Path(folder) for folder in recipe.own]
    real, dev = load_real(data, find=shipped_detector(), own=own), dev_crops(data)
    loader = DataLoader(Batches(recipe, real, trainer.step), batch_size=None, num_workers=1, prefetch_factor=8)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    losses: list[float] = []
    with Progress(*columns, refresh_per_second=0.2) as bar:
        task = bar.add_task("reader", total=recipe.steps, completed=trainer.step)
        started, before = time.monotonic(), trainer.hours
        for crops, texts in loader:
            losses.append(trainer.learn(crops, texts))
            trainer.hours = before + (time.monotonic() - started) / 3600
            bar.update(task, completed=trainer.step, description=f"reader, loss {np.mean(losses[-50:]):.3f}")
            if trainer.step % every == 0 or trainer.step == recipe.steps:
                scores = {f"{name}_dev": whole_plates(trainer.average, *dev[name]) for name in dev}
                mean = float(np.mean(losses))
                losses.clear()
                hours = round(trainer.hours, 3)
                _log(out / "curve.csv", {"step": trainer.step, "hours": hours, "loss": mean, **scores})
                bar.console.print(trainer.step, hours, f"loss {mean:.3f}", scores)
                trainer.save()
                draw_curves(out / "curve.csv", out / "curve.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/reader"))
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--start", default="", help="checkpoint of an earlier reader to go on from")
    parser.add_argument("--rate", type=float, default=Recipe.peak_rate, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--every", type=int, default=500, help="steps between checkpoints")
    parser.add_argument("--own", action="append", default=[], help="a folder that `edge-alpr label` wrote; repeatable")
    args = parser.parse_args()
    cv2.setNumThreads(1)  # before the loader forks: a pool of threads does not survive it
    torch.set_num_threads(args.threads)
    recipe = Recipe(seed=args.seed, steps=args.steps, start=args.start, peak_rate=args.rate, own=tuple(args.own))
    train(recipe, args.data, args.out, args.every)


if __name__ == "__main__":
    main()
