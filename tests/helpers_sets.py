"""Model sets on a shelf: the shipped packages with other hashes and another version."""

from __future__ import annotations

from pathlib import Path

import msgspec
import onnx

from edge_alpr.infer.package import list_packages, load_package, shipped_folder, write_card


def put_set(shelf: Path, version: str, without: tuple[str, ...] = ()) -> Path:
    """The shipped weights as another set: each file has another hash, and does the same. `without` leaves files out."""
    folder = shelf / version
    folder.mkdir(parents=True)
    packages = [one.package for one in list_packages(shipped_folder()) if one.package]
    hashes: dict[str, str] = {}
    for package in sorted(packages, key=lambda one: one.card.variant is not None):
        if package.path.stem in without:
            continue
        model = onnx.load_from_string(package.model)
        model.doc_string = version
        path = folder / package.path.name
        path.write_bytes(model.SerializeToString())
        card = msgspec.structs.replace(package.card, version=version)
        if card.variant:
            variant = msgspec.structs.replace(card.variant, of=hashes[card.variant.of])
            card = msgspec.structs.replace(card, variant=variant)
        written = write_card(path, card)
        hashes[package.card.sha256] = written.read_text(encoding="utf-8").partition('sha256 = "')[2][:64]
    return folder


def put_graphs_of(folder: Path, graphs: Path) -> None:
    """Give a set of `put_set` the graphs for the GPU that were made of the shipped weights, as if made of its own."""
    (folder / "engines").mkdir()
    for listed in list_packages(graphs):
        assert listed.package
        card, model = listed.package.card, onnx.load_from_string(listed.package.model)
        model.doc_string = folder.name
        path = folder / "engines" / listed.path.name
        path.write_bytes(model.SerializeToString())
        source = str(card.data["made_from"]).partition(" ")[0]
        made_from = f"{source} sha256 {load_package(folder / source).card.sha256}"
        write_card(path, msgspec.structs.replace(card, data={**card.data, "made_from": made_from}))


def point(shelf: Path, link: str, version: str) -> None:
    """Switch a link of the shelf, as an update does: by one rename."""
    beside = shelf / f".{link}.new"
    beside.unlink(missing_ok=True)
    beside.symlink_to(version)
    beside.replace(shelf / link)
