"""Model sets on a shelf: which one reads, and what a drive that runs makes of a link that changes."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest

pytest.importorskip("onnx", reason="the sets are made with onnx: pip install -e .[export]")

from helpers_sets import point, put_set

from edge_alpr.app import Tiers, make_pipeline, open_models, open_pair
from edge_alpr.config import Config, LearningConfig, ModelsConfig, OutputConfig, StoreConfig
from edge_alpr.doctor.networks import GOLDEN_TEXT, golden_frame, model_set
from edge_alpr.drive import Drive, Screen, Summary
from edge_alpr.errors import ModelError
from edge_alpr.evidence import UNREAD, canonical
from edge_alpr.hotswap import renewal
from edge_alpr.infer.package import in_precision, load_package
from edge_alpr.infer.sets import current_set, linked, set_in, usable_set
from edge_alpr.types import Crop, Event, Frame, Read

FRAMES = 600
VEHICLES = 10
Until: TypeAlias = Callable[[Callable[[], object], str], Callable[[], None]]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shelf = tmp_path_factory.mktemp("sets")
    put_set(shelf, "2.0.0")
    put_set(shelf, "2.1.0")
    return shelf


@pytest.fixture
def shelf(sets: Path, tmp_path: Path) -> Path:
    shutil.copytree(sets, tmp_path / "shelf", symlinks=True)
    return tmp_path / "shelf"


def hash_of(shelf: Path, version: str, name: str = "plate-reader") -> str:
    return in_precision(load_package(shelf / version / f"{name}.onnx"), "auto").card.sha256[:12]


def settings(shelf: Path | None, **models: object) -> ModelsConfig:
    return ModelsConfig(threads=1, shelf=str(shelf or ""), **models)  # type: ignore[arg-type]


# --- which one reads


def test_the_set_that_the_link_names_reads(shelf: Path) -> None:
    point(shelf, "current", "2.0.0")
    models = open_models(Config(models=settings(shelf)))
    assert models.among.version == "2.0.0"
    assert models.identities["reader"] == f"onnxruntime-cpu:{hash_of(shelf, '2.0.0')}"
    detector = [hash_of(shelf, "2.0.0", f"plate-detector{name}") for name in ("", "-near")]
    assert models.identities["detector"] == ",".join(f"onnxruntime-cpu:{one}" for one in detector)


def test_what_a_set_lacks_besides_its_pair_comes_from_the_installation(sets: Path, tmp_path: Path) -> None:
    put_set(tmp_path, "3", without=("plate-detector-near", "plate-detector-near-int8", "plate-detector-small",
                                    "plate-detector-small-int8"))  # fmt: skip
    point(tmp_path, "current", "3")
    found = current_set(settings(tmp_path))
    assert [path.parent == tmp_path / "3" for path in found.paths()] == [True, False, False, True]


def test_a_model_named_in_the_configuration_goes_first(shelf: Path) -> None:
    point(shelf, "current", "2.0.0")
    models = open_models(Config(models=settings(shelf, reader=str(shelf / "2.1.0" / "plate-reader.onnx"))))
    assert models.identities["reader"].endswith(hash_of(shelf, "2.1.0"))
    assert hash_of(shelf, "2.0.0", "plate-detector") in models.identities["detector"]


def _tear(shelf: Path) -> None:
    path = shelf / "2.0.0" / "plate-reader.onnx"
    path.write_bytes(path.read_bytes()[:-1000])


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "torn": (_tear, "its sha256 is"),
    "no reader": (lambda shelf: [p.unlink() for p in (shelf / "2.0.0").glob("plate-reader*")], "one reader is wanted"),
    "no card": (lambda shelf: (shelf / "2.0.0" / "plate-detector.toml").unlink(), "it has no card"),
    "nothing there": (lambda shelf: shutil.rmtree(shelf / "2.0.0"), "no such folder"),
    "no link": (lambda shelf: ((shelf / "current").unlink(), (shelf / "current").mkdir()), "no link to the folder"),
    "no shelf": (shutil.rmtree, "there is no such folder"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_set_that_is_not_whole_leaves_the_shipped_pair_and_is_told_once(
    case: str, shelf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil, reason = SPOILT[case]
    point(shelf, "current", "2.0.0")
    spoil(shelf)
    with pytest.raises(ModelError, match=reason):
        current_set(settings(shelf))
    assert {usable_set(settings(shelf)).version for _ in range(3)} == {""}
    assert len([record for record in caplog.records if reason in record.message]) == 1


def test_a_set_that_does_not_open_leaves_the_shipped_pair(shelf: Path, caplog: pytest.LogCaptureFixture) -> None:
    point(shelf, "current", "2.0.0")
    for path in (shelf / "2.0.0").glob("*-int8.*"):
        path.unlink()
    models = open_models(Config(models=msgspec.structs.replace(settings(shelf), precision="int8")))
    assert models.among.version == ""
    assert "models 2.0.0 cannot be opened, the shipped ones read" in caplog.text


def test_the_doctor_says_which_set_reads_and_why_another_does_not(shelf: Path) -> None:
    config = Config(models=settings(shelf))
    assert list(model_set(Config())) == []
    point(shelf, "current", "2.0.0")
    (right,) = model_set(config)
    _tear(shelf)
    (wrong,) = model_set(config)
    assert (right.status, right.what) == ("ok", f"models 2.0.0 of {shelf}")
    assert wrong.status == "limited" and wrong.what.startswith("the shipped models read: ")
    assert "its sha256 is" in wrong.what


def test_no_link_means_the_shipped_pair_and_is_nothing_to_tell(shelf: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert linked(shelf, "current") is None
    assert usable_set(settings(shelf)).version == ""
    assert not caplog.records


# --- in a drive


@dataclass
class Driven:
    """A drive of the sample."""

    summary: Summary
    events: list[Event]
    statuses: list[str]

    @property
    def told(self) -> list[str]:
        return sorted(canonical(event.plate) for event in self.events if event.state == "confirmed")

    @property
    def readers(self) -> list[str]:
        """The hashes of the readers that told events, one after the other."""
        hashes = [event.models["reader"].rpartition(":")[2] for event in self.events]
        return [one for i, one in enumerate(hashes) if i == 0 or hashes[i - 1] != one]


def drive(folder: Path, shelf: Path | None, plan: dict[int, Callable[[], object]], frames: int = FRAMES) -> Driven:
    """At frames of `plan` something is done, while the drive waits."""
    config = Config(
        models=settings(shelf, run_on="cpu", tier="small"),
        store=StoreConfig(path=str(folder / "store"), keep_images=False),
        output=OutputConfig(events=str(folder / "events.jsonl")),
        learning=LearningConfig(watch_drift=False),
    )
    statuses: list[str] = []

    def progress(count: int) -> None:
        plan.get(count, lambda: None)()
        if count >= frames:
            running.stop()

    running = Drive(config, Screen(progress=progress, status=statuses.append))
    summary = running.run()
    lines = (folder / "events.jsonl").read_bytes().splitlines()
    return Driven(summary, [msgspec.json.decode(line, type=Event) for line in lines], statuses)


@pytest.fixture
def until(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Until:
    """Do something to the shelf, and wait until this is the last that the drive's other thread has said."""
    caplog.set_level(logging.INFO, logger="edge_alpr.hotswap")
    monkeypatch.setattr(renewal, "EVERY_S", 0.05)

    def after(act: Callable[[], object], said: str) -> Callable[[], None]:
        def done() -> None:
            caplog.clear()
            act()
            ends = time.monotonic() + 60
            while not (caplog.records and said in caplog.records[-1].getMessage()):
                assert time.monotonic() < ends, f"never said: {said}"
                time.sleep(0.02)

        return done

    return after


def test_sets_are_exchanged_in_mid_drive_and_back_without_a_trace_but_their_names(
    shelf: Path, tmp_path: Path, until: Until
) -> None:
    (tmp_path / "plain").mkdir()
    plain = drive(tmp_path / "plain", None, {})
    point(shelf, "current", "2.0.0")
    plan = {
        200: until(lambda: point(shelf, "current", "2.1.0"), "models 2.1.0 are open"),
        420: until(lambda: point(shelf, "current", "2.0.0"), "models 2.0.0 are open"),
    }
    seen = drive(tmp_path, shelf, plan)
    assert (seen.summary.frames, seen.summary.dropped, seen.summary.models_swaps) == (FRAMES, 0, 2)
    assert seen.summary.models_version == "2.0.0"
    assert len(seen.told) == len(set(seen.told)) == VEHICLES
    assert [(e.state, e.plate, e.track_id, e.reads) for e in seen.events] == [
        (e.state, e.plate, e.track_id, e.reads) for e in plain.events
    ]
    old, new = hash_of(shelf, "2.0.0"), hash_of(shelf, "2.1.0")
    assert seen.readers == [old, new, old]
    assert set(seen.statuses) == {""}


def test_a_set_that_cannot_be_opened_changes_nothing_and_is_told_until_the_link_is_right_again(
    shelf: Path, tmp_path: Path, until: Until
) -> None:
    point(shelf, "current", "2.1.0")
    kept = shelf.with_name("kept")

    def mend() -> None:
        shutil.copytree(kept, shelf, symlinks=True)

    shutil.copytree(shelf, kept, symlinks=True)
    plan = {
        10: until(lambda: (_tear(shelf), point(shelf, "current", "2.0.0")), "its sha256 is"),
        20: until(lambda: shutil.rmtree(shelf / "2.0.0"), "no such folder"),
        30: until(lambda: point(shelf, "current", "2.9.9"), "2.9.9: no such folder"),
        40: until(lambda: shutil.rmtree(shelf), "there is no such folder"),
        50: until(mend, "models 2.1.0 are as they were"),
    }
    seen = drive(tmp_path, shelf, plan, frames=60)
    assert (seen.summary.models_swaps, seen.summary.models_version) == (0, "2.1.0")
    assert seen.readers == [hash_of(kept, "2.1.0")]
    wrong = "models on the shelf not taken, see the log"
    assert [seen.statuses[at] for at in (8, 12, 22, 32, 42, 52)] == ["", wrong, wrong, wrong, wrong, ""]


def test_a_link_that_flaps_costs_what_it_comes_to_rest_at_and_one_that_goes_means_the_shipped_pair(
    shelf: Path, tmp_path: Path, until: Until
) -> None:
    point(shelf, "current", "2.0.0")

    def flap() -> None:
        for turn in range(41):
            point(shelf, "current", ("2.1.0", "2.0.0")[turn % 2])
            time.sleep(0.04)

    plan = {
        10: until(flap, "models 2.1.0 are open"),
        30: until((shelf / "current").unlink, "the shipped models are open"),
    }
    seen = drive(tmp_path, shelf, plan, frames=50)
    assert (seen.summary.models_swaps, seen.summary.models_version) == (2, "")
    assert set(seen.statuses) == {""}


def test_the_governors_small_detector_is_exchanged_with_the_others(shelf: Path) -> None:
    config = Config(models=settings(shelf))
    pipeline = make_pipeline(config, models := open_models(config))
    tiers = Tiers(config, pipeline, models)
    tiers.add_smaller()
    tiers.choose("small")
    tiers.exchange(tiers.opened(open_pair(config, models.formats, set_in(shelf / "2.1.0"))))
    assert hash_of(shelf, "2.1.0", "plate-detector-small") in pipeline._nets.models["detector"]
    tiers.choose("large")
    assert hash_of(shelf, "2.1.0", "plate-detector") in pipeline._nets.models["detector"]
    assert hash_of(shelf, "2.1.0") in pipeline._nets.models["reader"]


def test_what_was_found_by_one_set_is_read_by_its_own_reader() -> None:
    def unread(crops: Sequence[Crop]) -> list[Read]:
        return [UNREAD] * len(crops)

    config = Config(models=settings(None))
    pipeline = make_pipeline(config, models := open_models(config))
    frame = Frame(golden_frame(), 0, 0, 1_767_348_000_000, "camera0")
    found = pipeline.find(frame)
    pipeline.use(replace(models.nets, read=unread, models={"reader": "other"}))
    pipeline.read(found)
    assert pipeline.observed[0].read.plate == GOLDEN_TEXT
    assert pipeline.models == models.identities, "those that read the newest frame"
    pipeline.process(replace(frame, index=1, stamp_ns=33_000_000))
    assert {seen.read.plate for seen in pipeline.observed} == {""}
    assert pipeline.models["reader"] == "other"
