"""Train the plate detector: python -m training.detector.train --data ../shared/data --out runs/detector"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from training.detector.corners import shipped_detector
from training.detector.model import HEIGHT, TIERS, WIDTH, Detector, PlateNet
from training.detector.paste import PlateBank
from training.detector.pictures import Picture, load_set, load_training
from training.detector.plot import draw_curves
from training.detector.scenes import Composer
from training.detector.score import score
from training.detector.targets import Maps, detector_loss, encode
from training.plates import render_plate


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the outcome; written beside the checkpoint."""

    data: str = "../shared/data"
    tier: str = "large"
    start: str = ""
    seed: int = 20240601
    steps: int = 16000
    hours: float = 0.0
    rate: float = 3e-3
    decay: float = 0.02
    batch: int = 32
    full_every: int = 4
    zoom: tuple[float, float] = (0.4, 2.2)
    full_zoom: tuple[float, float] = (0.5, 1.35)
    average: float = 0.999
    score_every: int = 1000
    own: tuple[str, ...] = ()


Batch = tuple[Tensor, list[Tensor]]
"""Luma (N, 1, H, W) uint8 and the stacked fields of `Maps`."""


class SceneBatches(IterableDataset[Batch]):
    """Batches of quarter-size windows, every `full_every`-th of whole ones; batch n depends on seed and n."""

    def __init__(self, recipe: Recipe, pictures: dict[str, list[Picture]], start: int) -> None:
        self.recipe, self.pictures, self.start = recipe, pictures, start

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        rng = np.random.default_rng([self.recipe.seed, self.start, 1])
        composer = Composer(self.pictures, PlateBank(rng, lambda r: render_plate(r).luma, 400))
        index = self.start
        while True:
            yield self._batch(composer, index)
            index += 1

    def _batch(self, composer: Composer, index: int) -> Batch:
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, index])
        full = index % recipe.full_every == recipe.full_every - 1
        size = (WIDTH, HEIGHT) if full else (WIDTH // 2, HEIGHT // 2)
        count, zoom = (recipe.batch // 4, recipe.full_zoom) if full else (recipe.batch, recipe.zoom)
        scenes = [composer.scene(rng, size, zoom) for _ in range(count)]
        maps = [encode(s.quads, s.kinds, s.luma.shape, s.sure) for s in scenes]
        return _stack([s.luma for s in scenes], maps)


def _stack(lumas: list[Any], maps: list[Maps]) -> Batch:
    stacked = [torch.from_numpy(np.stack([getattr(m, f.name) for m in maps])) for f in fields(Maps)]
    return torch.from_numpy(np.stack(lumas)[:, None]), stacked


def _lower_priority(_: int) -> None:
    os.nice(5)


class Trainer:
    """Network, average, optimiser and history: everything a checkpoint holds."""

    def __init__(self, recipe: Recipe, out: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.out = recipe, out
        self.net = PlateNet(TIERS[recipe.tier])
        if recipe.start:
            self.net.load_state_dict(torch.load(recipe.start, weights_only=True)["mean"])
        self.net.to(memory_format=torch.channels_last)
        self.mean = PlateNet(TIERS[recipe.tier])
        self.mean.load_state_dict(self.net.state_dict())
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        plain = [p for p in self.net.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": recipe.decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.rate)
        self.step = 0
        self.seconds = 0.0
        self.images = 0
        self.history: list[dict[str, float]] = []

    @property
    def done(self) -> float:
        """Share of the schedule that lies behind, 0 to 1."""
        recipe = self.recipe
        return self.seconds / (recipe.hours * 3600) if recipe.hours else self.step / recipe.steps

    def save(self, name: str = "last.pt") -> None:
        state = {
            "net": self.net.state_dict(),
            "mean": self.mean.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "images": self.images,
            "history": self.history,
            "recipe": asdict(self.recipe),
        }
        partial = self.out / (name + ".part")
        torch.save(state, partial)
        partial.replace(self.out / name)

    def restore(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.mean.load_state_dict(state["mean"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.images, self.history = state["images"], state["history"]

    def learn(self, batch: Batch) -> dict[str, float]:
        """One step; the parts of its loss."""
        luma, maps = batch
        warm = min(1.0, (self.step + 1) / 300)
        fall = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, self.done)))
        rate = self.recipe.rate * warm * fall
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            raw = self.net(luma.float().contiguous(memory_format=torch.channels_last))
        loss = detector_loss(raw.float(), maps)
        self.optimiser.zero_grad(set_to_none=True)
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self._average()
        self.step += 1
        self.images += luma.shape[0]
        return {part.name: getattr(loss, part.name).item() for part in fields(loss)}

    @torch.no_grad()
    def _average(self) -> None:
        share = 1 - min(self.recipe.average, (1 + self.step) / (10 + self.step))
        for old, new in zip(self.mean.state_dict().values(), self.net.state_dict().values(), strict=True):
            if old.is_floating_point():
                old.lerp_(new, share)
            else:
                old.copy_(new)


def torch_infer(net: PlateNet) -> Any:
    """The averaged network as `score` wants it."""
    detector = Detector(net).eval()

    def infer(luma: Any) -> tuple[Any, Any]:
        with torch.no_grad():
            scores, quads = detector(torch.from_numpy(luma)[None, None])
        return scores[0].numpy(), quads[0].numpy()

    return infer


def _score_all(trainer: Trainer, dev: dict[str, list[Picture]]) -> dict[str, float]:
    infer, found = torch_infer(trainer.mean), {}
    for name, pictures in dev.items():
        tally = score(infer, pictures)
        found[f"{name}_recall"], found[f"{name}_precision"] = tally.recall, tally.precision
        with (trainer.out / "dev.txt").open("a") as log:
            log.write(f"{trainer.step} {name}: {tally}\n")
    trainer.mean.train()
    return found


def train(recipe: Recipe, out: Path, resume: bool = True) -> None:
    """Train to the end of the schedule; checkpoint, curves and recipe lie in `out`."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)  # before the loader forks: a pool of threads does not survive it
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    trainer = Trainer(recipe, out)
    if resume and (out / "last.pt").exists():
        trainer.restore(out / "last.pt")
    data = Path(recipe.data)
    dev = {name: load_set(data, name, "dev") for name in ("dashcam", "openimages")}
    pictures = load_training(data, shipped_detector(), [Path(folder).resolve() for folder in recipe.own])
    batches = SceneBatches(recipe, pictures, trainer.step)
    loader = DataLoader(
        batches, batch_size=None, num_workers=1, prefetch_factor=6, worker_init_fn=_lower_priority,
        multiprocessing_context="fork",
    )  # fmt: skip
    columns = (
        TextColumn("{task.fields[note]}"), BarColumn(), TextColumn("{task.percentage:>5.1f} %"),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, refresh_per_second=1) as bar:
        _run(trainer, iter(loader), dev, bar)
    trainer.save()


def _run(trainer: Trainer, batches: Iterator[Batch], dev: dict[str, list[Picture]], bar: Progress) -> None:
    task = bar.add_task("train", total=1.0, completed=trainer.done, note="detector")
    recent: list[dict[str, float]] = []
    last = time.monotonic()
    while trainer.done < 1.0:
        recent.append(trainer.learn(next(batches)))
        now = time.monotonic()
        trainer.seconds, last = trainer.seconds + now - last, now
        if trainer.step % 100 == 0:
            row = {key: float(np.mean([r[key] for r in recent])) for key in recent[0]}
            row |= {"step": trainer.step, "images": trainer.images, "seconds": trainer.seconds}
            recent = []
            if trainer.step % trainer.recipe.score_every == 0:
                row |= _score_all(trainer, dev)
            trainer.history.append(row)
            trainer.save()
            draw_curves(trainer.history, trainer.out / "curves.png")
            note = " ".join(f"{k} {v:.3f}" for k, v in row.items() if k in ("score", "corners", "box"))
            bar.update(task, completed=min(1.0, trainer.done), note=f"{trainer.images} images  {note}")


def main(
    data: Annotated[Path, typer.Option(help="Folder of the labelled pictures.")] = Path("../shared/data"),
    out: Annotated[Path, typer.Option(help="For checkpoint, curves, recipe.")] = Path("runs/detector"),
    steps: Annotated[int, typer.Option(help="Length of the schedule in batches.")] = Recipe.steps,
    hours: Annotated[float, typer.Option(help="Length of the schedule in hours; 0: steps.")] = 0.0,
    tier: Annotated[str, typer.Option(help=f"Size of the network: {', '.join(TIERS)}.")] = Recipe.tier,
    start: Annotated[str, typer.Option(help="Checkpoint of an earlier detector to go on from.")] = "",
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = Recipe.rate,
    seed: Annotated[int, typer.Option(help="Of all chance.")] = Recipe.seed,
    own: Annotated[list[str] | None, typer.Option(help="A folder that `edge-alpr label` wrote; repeatable.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint in --out.")] = True,
) -> None:
    """Train the plate detector."""
    more = tuple(own or ())
    recipe = Recipe(str(data), tier=tier, start=start, seed=seed, steps=steps, hours=hours, rate=rate, own=more)
    train(recipe, out, resume)


if __name__ == "__main__":
    typer.run(main)
