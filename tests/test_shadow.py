"""A model set on trial beside a live drive: what `trial.json` says of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the sets are made with onnx: pip install -e .[export]")

from helpers_camera import opened
from helpers_sets import point, put_set

from edge_alpr.bench.paced import Paced
from edge_alpr.config import Config, GovernorConfig, LearningConfig, ModelsConfig, SourceConfig, StoreConfig
from edge_alpr.drive import Drive, Probe, Screen, Summary
from edge_alpr.formats import NO_FORMATS
from edge_alpr.hotswap import Shadow, shadow
from edge_alpr.hotswap.outcome import load, save
from edge_alpr.infer.sets import shipped_set
from edge_alpr.ota.shadow import Outcome
from edge_alpr.ports import FrameSource

KEYS = ["version", "frames", "plates_both", "plates_old", "plates_new", "texts_same", "texts_differ",
        "p99_ms_old", "p99_ms_new", "seconds", "error"]  # fmt: skip


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {"LEAST_PAUSE_S": 0.02, "WRITE_S": 0.2, "TURN_S": 0.05, "SHARE": 1.0}.items():
        monkeypatch.setattr(shadow, name, value)
    put_set(tmp_path / "shelf", "2.0.0")
    return tmp_path / "shelf"


def live(config: SourceConfig) -> FrameSource:
    """The sample drive as a camera would show it."""
    return Paced(opened(config.uri), lambda: opened(config.uri), "live", repeat=True)


def drive(shelf: Path, ends: Callable[[int], bool], source: Callable[[SourceConfig], FrameSource] = live) -> Summary:
    config = Config(
        models=ModelsConfig(shelf=str(shelf), threads=1, tier="small"),
        store=StoreConfig(path=str(shelf.parent / "store"), keep_images=False),
        learning=LearningConfig(watch_drift=False),
        governor=GovernorConfig(enabled=False),
    )

    def progress(count: int) -> None:
        if ends(count):
            running.stop()

    running = Drive(config, Screen(progress=progress), Probe(source))
    return running.run(limit_s=60)


def told(shelf: Path) -> dict[str, object]:
    path = shelf / "trial.json"
    return json.loads(path.read_bytes()) if path.exists() else {}


def test_the_set_on_trial_is_compared_on_live_frames_and_the_count_goes_on_in_the_next_drive(shelf: Path) -> None:
    point(shelf, "trial", "2.0.0")
    summary = drive(shelf, lambda count: int(told(shelf).get("frames", 0)) >= 5)
    first = told(shelf)
    assert list(first) == KEYS
    assert (first["version"], first["error"]) == ("2.0.0", "")
    assert summary.frames > first["frames"] >= 5
    assert first["plates_both"] == first["plates_old"] == first["plates_new"] > 0
    assert first["texts_same"] > 0 and first["texts_differ"] == 0
    assert first["p99_ms_old"] > 0 and first["p99_ms_new"] > 0 and first["seconds"] > 0
    assert (summary.models_version, summary.models_swaps) == ("", 0)

    drive(shelf, lambda count: int(told(shelf)["frames"]) >= first["frames"] + 3)
    assert told(shelf)["frames"] >= first["frames"] + 3
    assert told(shelf)["seconds"] > first["seconds"]


def test_a_set_that_does_not_run_is_told_as_an_error(shelf: Path) -> None:
    (shelf / "2.0.0" / "plate-reader.onnx").write_bytes(b"torn")
    point(shelf, "trial", "2.0.0")
    drive(shelf, lambda count: bool(told(shelf)))
    assert (told(shelf)["version"], told(shelf)["frames"]) == ("2.0.0", 0)
    assert "its sha256 is" in str(told(shelf)["error"])


def test_the_set_that_reads_is_not_on_trial(shelf: Path) -> None:
    point(shelf, "current", "2.0.0")
    point(shelf, "trial", "2.0.0")
    assert drive(shelf, lambda count: count >= 60).models_version == "2.0.0"
    assert not told(shelf)


def test_a_recording_tries_nothing(shelf: Path) -> None:
    point(shelf, "trial", "2.0.0")
    drive(shelf, lambda count: count >= 40, lambda config: opened(config.uri))
    assert not told(shelf)


def test_no_frame_is_wanted_while_the_governor_spares(shelf: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="edge_alpr.hotswap")
    point(shelf, "trial", "2.0.0")
    level = [1]
    config = Config(models=ModelsConfig(shelf=str(shelf), tier="small"))
    with Shadow(config, NO_FORMATS, shipped_set(), lambda: level[0]) as beside:
        while not beside._idle:
            pass
        assert not any(beside.wanted() for _ in range(100))
        level[0] = 0
        assert [beside.wanted(), beside.wanted()] == [True, False], "one at a time"
        beside.offer(np.zeros((72, 128), np.uint8), [])
    assert told(shelf)["frames"] == 1


def test_what_was_counted_of_another_version_or_before_an_error_is_no_beginning(tmp_path: Path) -> None:
    save(tmp_path, Outcome(version="1", frames=7))
    assert load(tmp_path, "1").frames == 7
    assert load(tmp_path, "2").frames == 0
    save(tmp_path, Outcome(version="1", frames=7, error="broken"))
    assert load(tmp_path, "1") == Outcome(version="1")
    (tmp_path / "trial.json").write_bytes(b'{"version"')
    assert load(tmp_path, "1") == Outcome(version="1")
