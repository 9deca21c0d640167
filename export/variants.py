"""Every variant of the shipped networks: python -m export.variants --out engines/build

{cpu, gpu} x {fp32, fp16, int8} of each detector and of the reader, from the ONNX files and cards that ship. A variant
that loses more than its precision may, or a graph for the GPU that differs from the CPU's way, is not written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import onnx
import typer
from numpy.typing import NDArray
from onnx import ModelProto
from rich.console import Console

from edge_alpr.camera.pictures import load_luma
from edge_alpr.evaluate import load_dataset
from edge_alpr.infer.card import Card, InputCard, Kind, OutputCard, VariantCard
from edge_alpr.infer.package import ModelPackage, list_packages, write_card
from edge_alpr.stages.read import BEST, CLASSES, SHARPNESS
from edge_alpr.types import Tensors
from export.alike import Alike, GpuPair, compare, frames_of
from export.compose import BATCHES, NEAR_KEPT, Plane, bytes_out, detector_for_gpu, near_for_gpu, reader_for_gpu
from export.half import rehearse, to_half
from export.judge import SETS, Judge, Loss, damaged_crops, verdict
from export.nodes import load_full, store_halves
from export.parser import problems
from export.precision import CPU, GPU, NEAR, Feeds, Recipe, cautious, to_int8
from export.product import detector, finder, looking_again, near_finder, plate_reader
from export.report import Row, median_ms, show

SHIPPED = Path("edge_alpr/models")
PRECISIONS = ("fp32", "fp16", "int8")
CALIBRATION_FRAMES, CALIBRATION_WINDOWS, CALIBRATION_CROPS = 32, 400, 512
"""Pictures, pictures with plates to look at again, and crops."""
ALIKE_EVERY = {"fp32": 1, "fp16": 4, "int8": 4}
"""Which dash cam frames the GPU's graphs are compared on with the CPU's way: each, each fourth."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A network in one precision, before it is composed for the GPU. `refused` says why it must not ship."""

    package: ModelPackage
    where: str
    precision: str
    model: ModelProto
    loss: Loss | None = None
    refused: str = ""
    recipe: str = ""
    """How an INT8 network was made."""

    @property
    def kind(self) -> Kind:
        """Detector or reader."""
        return self.package.card.kind


class _Recorder:
    """Stands where a detector's network would and keeps what it is fed."""

    identity = "recorder"

    def __init__(self) -> None:
        self.fed: list[NDArray[Any]] = []

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Tensors:
        """Find nothing."""
        self.fed.append(feeds["luma"].copy())
        return {"scores": np.zeros((1, 1), np.float32), "quads": np.zeros((1, 1, 4, 2), np.float32)}


def calibration(package: ModelPackage, data: Path, first: ModelProto | None = None) -> list[Feeds]:
    """Real frames, windows or crops of `train` as the network is fed them; `first` finds what it looks at again."""
    card = package.card
    if card.kind == "reader":
        crops = np.stack([crop for crop, _ in damaged_crops(data, CALIBRATION_CROPS, seed=5)])[:, None]
        return [{"crops": part} for part in np.array_split(crops, max(1, len(crops) // 32))]
    recorder, size = _Recorder(), (card.input.shape[2], card.input.shape[3])
    find = looking_again(first, recorder, size, _pad(card)) if first else detector(recorder, size, _pad(card))
    images = [image for name in SETS for image in load_dataset(data / name, "train")]
    wanted = CALIBRATION_WINDOWS if first else CALIBRATION_FRAMES
    for image in images[:: max(1, len(images) // wanted)]:
        find(load_luma(image.path))
    return [{"luma": luma} for luma in recorder.fed]


def precisions(
    package: ModelPackage, judge: Judge, data: Path, first: ModelProto | None = None
) -> Iterator[Variant]:
    """A network in each precision, judged; one that looks again at what `first` finds has no INT8 for the GPU."""
    core = load_full(package.model)
    measure = judge.detector if package.card.kind == "detector" else judge.reader
    half, feeds = to_half(core), calibration(package, data, first)
    loss = measure(rehearse(half))
    for where, recipe in ((("cpu", NEAR),) if first else (("cpu", CPU), ("gpu", GPU))):
        yield Variant(package, where, "fp32", core)
        yield Variant(package, where, "fp16", half, loss, verdict("fp16", loss))
        yield least_cautious(Variant(package, where, "int8", core), recipe, feeds, measure)
    if first:
        yield Variant(package, "gpu", "fp32", core)
        yield Variant(package, "gpu", "fp16", half, loss, verdict("fp16", loss))


def least_cautious(
    variant: Variant, recipe: Recipe, feeds: Sequence[Feeds], measure: Callable[[ModelProto], Loss]
) -> Variant:
    """The least cautious INT8 that keeps its accuracy; the last one tried, refused, where none does."""
    for careful in cautious(recipe):
        model = to_int8(variant.model, feeds, careful)
        loss = measure(model)
        tried = replace(variant, model=model, loss=loss, refused=verdict("int8", loss), recipe=str(careful))
        if not tried.refused:
            break
        print(f"{variant.package.path.stem} {variant.where}, {careful}: {tried.refused}", file=sys.stderr)
    return tried


def composed(variant: Variant, plane: Plane) -> ModelProto:
    """The graph that is written: for the GPU with all around it. Exits where TensorRT would refuse it."""
    if variant.where == "cpu":
        return slim(variant.model) if variant.precision == "int8" else variant.model
    if _looks_again(variant.package):
        model = near_for_gpu(variant.model, plane)
    elif variant.kind == "detector":
        model = detector_for_gpu(variant.model, plane, _pad(variant.package.card))
    else:
        model = reader_for_gpu(variant.model, plane)
    if found := problems(model):
        sys.exit(f"{file_name(variant, plane)}: TensorRT's parser would refuse it: {'; '.join(found)}")
    return model


def slim(model: ModelProto) -> ModelProto:
    """A copy whose float weights, rounded to 16 bits when they were exported, are kept so again."""
    copy = ModelProto()
    copy.CopyFrom(model)
    store_halves(copy.graph)
    return copy


def file_name(variant: Variant, plane: Plane) -> str:
    """plate-reader-gpu-1280x720p1536-fp16.onnx; the CPU's have no plane."""
    where = f"gpu-{plane.name}" if variant.where == "gpu" else "cpu"
    return f"{variant.package.path.stem}-{where}-{variant.precision}.onnx"


def check_alike(
    variants: Sequence[Variant], data: Path, plane: Plane
) -> tuple[dict[str, Alike], dict[str, str]]:
    """Compare the GPU's way with the CPU's in each precision.

    Gives what was compared, and why files are refused, both by file. Exits at a difference over the limits in single
    precision: then the graphs are wrong. In a lesser one the network that differs is refused.
    """
    found: dict[str, Alike] = {}
    refused: dict[str, str] = {}
    of_gpu = [variant for variant in variants if variant.where == "gpu" and not variant.refused]
    readers = {variant.precision: variant for variant in of_gpu if variant.kind == "reader"}
    for variant in of_gpu:
        if variant.kind != "detector" or _looks_again(variant.package):
            continue
        reader = readers.get(variant.precision, readers["fp32"])
        pad, core = _pad(variant.package.card), variant.model
        gpu = GpuPair(core, reader.model, plane, pad)
        frames = frames_of(data, plane, ALIKE_EVERY[variant.precision])
        alike = compare(finder(core, pad), plate_reader(reader.model), gpu, frames)
        if (problem := alike.problem()) and variant.precision == "fp32":
            sys.exit(f"{file_name(variant, plane)} and {file_name(reader, plane)}: {problem}")
        for network, why in ((reader, alike.reader_problem()), (variant, alike.detector_problem())):
            if why:
                refused[file_name(network, plane)] = f"beside the CPU's way {why}"
        found[file_name(variant, plane)] = alike
    return found, refused


def shipped_name(variant: Variant) -> str:
    """The file that takes its package's place on the CPU: plate-reader-int8.onnx"""
    return f"{variant.package.path.stem}-{variant.precision}.onnx"


def write(variant: Variant, model: ModelProto, plane: Plane, path: Path) -> None:
    """The ONNX file and its card."""
    partial = path.with_name("." + path.name)
    onnx.save(model, str(partial))
    partial.replace(path)
    write_card(path, _card(variant, plane))


def _card(variant: Variant, plane: Plane) -> Card:
    card, loss = variant.package.card, variant.loss
    made = {
        "made_from": f"{variant.package.path.name} sha256 {card.sha256}",
        "variant": f"{variant.where} {variant.precision}",
    }
    if variant.recipe:
        made["int8"] = variant.recipe
    changes: dict[str, Any] = {"data": {**card.data, **made}}
    if (variant.where, variant.precision) == ("cpu", "int8"):
        changes["variant"] = VariantCard("int8", card.sha256)
    if variant.where == "gpu":
        shape = (1, 1, plane.height, plane.pitch)
        pixels = "window" if card.detector and _looks_again(variant.package) else "frame"
        made["frame"] = f"{plane.width}x{plane.height}, {plane.pitch} bytes a row; corners in {pixels} pixels"
        made["inside"] = "{} rows, {} columns".format(*card.input.shape[2:])
        changes["input"] = InputCard(name="luma", shape=shape, dtype="uint8", layout="luma")
        if card.detector and _looks_again(variant.package):
            made["window"] = "second input, float32 (1, 3): scale, shift x, shift y"
            changes["detector"] = msgspec.structs.replace(card.detector, top_k=NEAR_KEPT)
        if variant.kind == "reader":
            made["quads"] = f"second input, float32 (N, 4, 2); profiles {', '.join(map(str, BATCHES))}"
            changes["output"] = OutputCard(names=(BEST, CLASSES, SHARPNESS))
        changes["data"] = {**card.data, **made}
    if loss:
        changes["figures"] = {
            "dev_plates": loss.plates, "dev_read_whole": loss.right, "dev_points_lost": round(loss.points_lost, 3),
            "sample_points_lost": loss.sample_points_lost, "score_change_mean": round(loss.score_mean, 5),
        }  # fmt: skip
    return msgspec.structs.replace(card, **changes)


def _pad(card: Card) -> int:
    return card.detector.pad if card.detector else 0


def _packages(folder: Path) -> tuple[list[ModelPackage], ModelPackage]:
    """A folder's detectors, the first of them the largest of whole frames, and its reader.

    Exits where a package is broken or missing.
    """
    listed = list_packages(folder)
    if broken := [item.problem for item in listed if item.package is None]:
        sys.exit("; ".join(broken))
    packages = [item.package for item in listed if item.package and not item.package.card.variant]
    detectors = [package for package in packages if package.card.kind == "detector"]
    readers = [package for package in packages if package.card.kind == "reader"]
    if all(map(_looks_again, detectors)) or len(readers) != 1:
        sys.exit(f"{folder}: detectors and one reader are wanted, found {len(detectors)} and {len(readers)}")
    return sorted(detectors, key=lambda package: (_looks_again(package), -len(package.model))), readers[0]


def _looks_again(package: ModelPackage) -> bool:
    return package.card.detector is not None and package.card.detector.tier == "near"


def judged(detectors: Sequence[ModelPackage], reader: ModelPackage, data: Path) -> Iterator[Variant]:
    """All networks in all precisions. What looks again does so after the first of the detectors."""
    reads, first = load_full(reader.model), load_full(detectors[0].model)
    for package in detectors:
        again, pad, core = _looks_again(package), _pad(package.card), load_full(package.model)
        find = partial(near_finder, first=first, pad=pad) if again else partial(finder, pad=pad)
        judge = Judge(data, core, reads, find)
        yield from precisions(package, judge, data, first if again else None)
        if package is detectors[0]:
            yield from precisions(reader, judge, data)


def main(
    out: Annotated[Path, typer.Option(help="Where the variants are written.")] = Path("engines/build"),
    models: Annotated[Path, typer.Option(help="The packages to start from: detectors and one reader.")] = SHIPPED,
    data: Annotated[Path, typer.Option(help="Labelled pictures.")] = Path("../shared/data"),
    frame: Annotated[str, typer.Option(help="Width and height of the camera's frames.")] = "1280x720",
    pitch: Annotated[int, typer.Option(help="Bytes a row of its Y plane; 0: the next multiple of 256.")] = 0,
    ship: Annotated[bool, typer.Option("--ship", help="Also put the CPU's INT8 beside the packages.")] = False,
) -> None:
    """Make, judge and write every variant. Exit 1 where one is refused."""
    width, height = (int(side) for side in frame.split("x"))
    plane = Plane(width, height, pitch or -(-width // 256) * 256)
    detectors, reader = _packages(models)
    console = Console() if sys.stdout.isatty() else Console(width=160)
    variants: list[Variant] = []
    for variant in judged(detectors, reader, data):
        console.print(f"{file_name(variant, plane)}: {variant.refused or 'judged'}", highlight=False)
        variants.append(variant)
    alike, unlike = check_alike(variants, data, plane)
    variants = [replace(v, refused=v.refused or unlike.get(file_name(v, plane), "")) for v in variants]
    made = {file_name(variant, plane): composed(variant, plane) for variant in variants}
    out.mkdir(parents=True, exist_ok=True)
    for variant in variants:
        if variant.refused:
            continue
        name = file_name(variant, plane)
        write(variant, made[name], plane, out / name)
        if ship and (variant.where, variant.precision) == ("cpu", "int8"):
            write(variant, made[name], plane, models / shipped_name(variant))
    rows = list(_rows(variants, made, plane))
    show(rows, alike, console)
    report = {"frame": asdict(plane), "variants": rows, "alike": alike, "bytes_out": {n: bytes_out(n) for n in BATCHES}}
    (out / "variants.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    if refused := [f"{row.file}: {row.refused}" for row in rows if row.refused]:
        sys.exit("\n".join(refused))


def _rows(variants: Sequence[Variant], made: Mapping[str, ModelProto], plane: Plane) -> Iterator[Row]:
    times: dict[str, float] = {}
    for package in {variant.package.path: variant.package for variant in variants}.values():
        names = [file_name(variant, plane) for variant in variants if variant.package is package]
        times |= median_ms({name: made[name] for name in names}, plane)
    for variant in variants:
        name = file_name(variant, plane)
        size = round(made[name].ByteSize() / 1e6, 3)
        yield Row(name, size, times[name], variant.loss, variant.refused, variant.recipe)


if __name__ == "__main__":
    typer.run(main)
