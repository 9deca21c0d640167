"""Measuring: budgets, percentiles, comparisons, and real short runs with everything they write."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from rich.console import Console

from edge_alpr.app import open_models
from edge_alpr.bench import Bench
from edge_alpr.bench.budget import figures, missed, parse_budget
from edge_alpr.bench.meter import STAGES, Meter, Spans
from edge_alpr.bench.outcome import Outputs, prepare, publish
from edge_alpr.bench.paced import paced
from edge_alpr.bench.process import CpuTimes, loads, split_stat, whole_load
from edge_alpr.bench.rendered import TEXTS, draw
from edge_alpr.bench.report import Machine, Report, Setting, read_json, times, write_json
from edge_alpr.bench.request import Pace, Request, make_request, parse_size
from edge_alpr.bench.show import ABSENT, change, differences, show, show_change
from edge_alpr.bench.source import Metered
from edge_alpr.bench.trace import write_trace
from edge_alpr.config import Config, ModelsConfig, SourceConfig, StoreConfig
from edge_alpr.device import open_board
from edge_alpr.errors import ConfigError, EdgeAlprError, SourceError
from edge_alpr.evidence import canonical
from edge_alpr.types import Frame, SourceCounters, SourceInfo


def config(folder: Path) -> Config:
    return Config(models=ModelsConfig(tier="small", threads=1), store=StoreConfig(path=str(folder / "store")))


def report(**changed: object) -> Report:
    whole = Report(
        setting=Setting("drive", "fast", None, 1280, 720, 1, "large", 1.0, None),
        machine=Machine("PC", "", None, "EPYC", 2, None, None, {}),
        models={"detector": "onnxruntime-cpu:1", "reader": "onnxruntime-cpu:2"},
        frames=200, dropped=0, seconds=5.0, fps=40.0, found_per_frame=2.0, reads_per_frame=2.0,
        stages={"total": times([20.0] * 99 + [40.0]), "detect": times([10.0] * 100)},
        cpu_percent=120.0, threads=[], rss_mb=220.0, load_s=0.5, first_read_s=1.5,
        watts=None, celsius=None, mj_per_frame=None, warnings=[],
    )  # fmt: skip
    return msgspec.structs.replace(whole, **changed)


def test_percentiles_are_those_of_the_values() -> None:
    found = times([float(value) for value in range(1, 102)])

    assert (found.count, found.p50, found.p90, found.p95, found.p99, found.max) == (101, 51, 91, 96, 100, 101)


@pytest.mark.parametrize(
    ("budget", "lost"),
    [
        ("p99=33ms, fps=30,rss=400MB", []),
        ("p50=19ms", ["p50: 20ms, wanted at most 19ms"]),
        ("max=0.03s", ["max: 40ms, wanted at most 30ms"]),
        ("fps=50", ["fps: 40fps, wanted at least 50fps"]),
        ("detect.p99=9.5ms,fps=30", ["detect.p99: 10ms, wanted at most 9.5ms"]),
        ("rss=0.2GB", ["rss: 220MB, wanted at most 200MB"]),
        ("watts=25W", ["watts: not available, wanted at most 25W"]),
        ("glass.p99=100ms", ["glass.p99: not available, wanted at most 100ms"]),
        ("dropped=0", []),
    ],
)
def test_a_budget_names_what_was_missed(budget: str, lost: list[str]) -> None:
    assert missed(parse_budget(budget), figures(report())) == lost


@pytest.mark.parametrize(
    ("budget", "word"),
    [("", "NAME=NUMBER"), ("p99", "NAME=NUMBER"), ("p99=33MB", "its units: ms"), ("speed=3", "known: p50"),
     ("fps=-3", "NAME=NUMBER"), ("detekt.p99=3ms", "known"), ("p99=33ms,", "NAME=NUMBER"), ("dropped=3ms", "none")],
)  # fmt: skip
def test_a_budget_that_cannot_be_read_is_refused_in_one_line(budget: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word) as caught:
        parse_budget(budget)
    assert "\n" not in str(caught.value)


def test_a_report_survives_its_file_and_others_are_refused(tmp_path: Path) -> None:
    write_json(report(), tmp_path / "r.json")
    assert read_json(tmp_path / "r.json") == report()

    (tmp_path / "other.json").write_text('{"stills": {}}')
    for name in ("other.json", "none.json"):
        with pytest.raises(ConfigError, match=name):
            read_json(tmp_path / name)
    write_json(report(version=99), tmp_path / "new.json")
    with pytest.raises(ConfigError, match="version 99"):
        read_json(tmp_path / "new.json")


def test_the_change_is_in_percent_and_other_machines_are_named() -> None:
    assert [change(20, 25), change(20, 10), change(0, 0), change(0, 1), change(None, 1)] == [
        "+25.0 %", "-50.0 %", "+0.0 %", ABSENT, ABSENT,
    ]  # fmt: skip
    other = report(fps=50.0, machine=Machine("PC", "", None, "Orin", 2, None, None, {}))
    assert differences(report(), other) == ["processor: EPYC before, Orin now"]
    text = io.StringIO()
    show_change(report(), other, Console(file=text, width=100))
    assert ["fps", "40.00", "50.00", "+25.0", "%"] in [line.split() for line in text.getvalue().splitlines()]
    assert "not the same processor" in text.getvalue()


def test_a_thread_may_be_called_anything_and_alike_ones_are_one_row() -> None:
    assert split_stat("7 (a) b (c) S 1 2") == ("a) b (c", ["S", "1", "2"])
    before = CpuTimes({1: ("py", 1.0), 2: ("ort", 0.5), 4: ("decoder", 1.0)}, 0, 3.0)
    after = CpuTimes({1: ("py", 2.0), 2: ("ort", 1.0), 3: ("ort", 0.5)}, 2_000_000_000, 6.0)

    found = [(load.name, load.count, load.percent) for load in loads(before, after)]
    assert found == [("py", 1, 50.0), ("ort", 2, 50.0)]
    assert whole_load(before, after) == 150.0, "with the decoder, which ended"


def test_wrong_wishes_are_refused() -> None:
    assert parse_size("1920x1080") == (1920, 1080)
    for size in ("1920", "x", "10x10", "1280x-1"):
        with pytest.raises(ConfigError, match="WIDTHxHEIGHT"):
            parse_size(size)
    for wish in (("slow", None, None, None), ("fast", ["a.mp4"], 1, None), ("fast", ["a.mp4"], None, "1280x720")):
        with pytest.raises(ConfigError):
            make_request(*wish, (1.0, None))


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_every_drawn_plate_is_found_and_read_as_drawn(size: tuple[int, int], tmp_path: Path) -> None:
    models = open_models(config(tmp_path))
    for plates, step in ((0, 0), (1, 3), (len(TEXTS), 7)):
        seen, _ = models.observe(draw(plates, size, step))
        assert sorted(canonical(o.read.plate) for o in seen) == sorted(canonical(text) for text in TEXTS[:plates])


class Slow:
    """A recording of 30 frames, one each 10 ms of media time."""

    def __init__(self) -> None:
        self.info, self.counters = SourceInfo("slow", live=False), SourceCounters()
        self.released = 0
        self.closed = False

    def __iter__(self) -> Iterator[Frame]:
        for index in range(30):
            yield Frame(np.zeros((4, 4), np.uint8), index, index * 10_000_000, index, release=self._release)

    def _release(self) -> None:
        self.released += 1

    def __enter__(self) -> Slow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed = True


def test_at_a_live_pace_the_newest_frame_wins_and_what_is_dropped_is_released_and_counted() -> None:
    source = Slow()
    metered = Metered(paced(lambda: source, "live", False), Meter(open_board(), 0.0, None))
    stamps = []
    for frame in metered:
        stamps.append(frame.index)
        time.sleep(0.035)
        frame.release()

    assert source.released == 30
    assert metered.counters.frames == len(stamps)
    assert metered.counters.dropped == 30 - len(stamps) >= 15
    assert stamps == sorted(set(stamps))


def test_a_paced_recording_is_a_camera_that_another_thread_can_end() -> None:
    source = paced(Slow, "live", True)
    stamps = []
    threading.Timer(0.5, source.close).start()
    for frame in source:
        stamps.append(frame.stamp_ns)
        late_ms = (time.monotonic_ns() - frame.stamp_ns) / 1e6
        assert 0 <= late_ms < 200, "stamped with the time at which a camera would have shown it"
        frame.release()
    assert source.info.live
    assert 30 < len(stamps) <= 51, "the recording lasts 0.3 s and was repeated"
    assert set(np.diff(stamps)) <= {n * 10_000_000 for n in range(1, 30)}
    assert source.counters.frames == len(stamps) + source.counters.dropped


def test_a_recording_too_short_goes_on_with_stamps_that_grow() -> None:
    opened = []

    def opener() -> Slow:
        opened.append(Slow())
        return opened[-1]

    metered = Metered(paced(opener, "fast", True), Meter(open_board(), 0.0, None))
    stamps = [frame.stamp_ns for frame, _ in zip(metered, range(70), strict=False)]

    assert [source.closed for source in opened] == [True, True, False]
    assert set(np.diff(stamps)) == {10_000_000}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report, Meter]:
    folder = tmp_path_factory.mktemp("bench")
    bench = Bench(Request(pace="live", duration_s=1.0, warm_up_s=0.2), config(folder))
    return folder, bench.run(), bench.meter


def test_a_run_over_the_sample_drive_measures_every_stage(played: tuple[Path, Report, Meter]) -> None:
    folder, found, meter = played

    assert found.frames == found.stages["total"].count == len(meter.values["total"]) > 0
    assert {"decode", "map", "motion", "detect", "detect.resize", "detect.network", "track", "total", "glass"} <= set(
        found.stages
    )
    assert set(found.stages) <= set(STAGES)
    for times_of in found.stages.values():
        assert 0 < times_of.p50 <= times_of.p90 <= times_of.p95 <= times_of.p99 <= times_of.max
    whole = [sum(found.stages[n].p50 for n in ("detect.resize", "detect.network")), found.stages["detect"].max]
    assert whole[0] <= whole[1]
    assert found.setting.width == 1280
    assert set(found.models) == {"detector", "reader"}
    assert found.rss_mb and found.rss_mb > 50
    assert found.load_s and found.load_s > 0
    assert found.cpu_percent and found.threads
    assert list(folder.iterdir()) == [], "the store of a measurement goes away"


def test_a_recording_that_ends_within_the_warm_up_is_an_error(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), np.full((360, 640), 90, np.uint8))
    settings = msgspec.structs.replace(config(tmp_path), source=SourceConfig(uri=str(tmp_path / "one.png")))
    with pytest.raises(SourceError, match="within the warm-up"):
        Bench(Request(warm_up_s=60.0), settings).run()


@pytest.mark.parametrize("pace", ["live", "fast"])
def test_several_cameras_are_counted_each(pace: Pace, tmp_path: Path) -> None:
    bench = Bench(Request(pace, 1, (640, 360), duration_s=1.0, warm_up_s=0.2, cameras=3), config(tmp_path))
    found = bench.run()
    assert found.setting.cameras == 3 and set(found.cameras) == {"camera0", "camera1", "camera2"}
    frames = [camera.frames for camera in found.cameras.values()]
    assert sum(frames) == found.frames and max(frames) - min(frames) <= 2
    assert sum(camera.dropped for camera in found.cameras.values()) == found.dropped
    ages = [camera.age for camera in found.cameras.values()]
    if pace == "fast":
        assert ages == [None] * 3 and found.dropped == 0
        return
    assert all(age and age.count == count and 0 < age.p50 < 300 for age, count in zip(ages, frames, strict=True))
    assert found.frames + found.dropped == pytest.approx(90, abs=20), "30 a second of each"
    write_json(found, tmp_path / "r.json")
    assert read_json(tmp_path / "r.json") == found
    text = io.StringIO()
    show(found, Console(file=text, width=120))
    assert "fps of 3 cameras" in text.getvalue() and "age at its turn" in text.getvalue()


def test_the_parts_of_a_frame_lie_within_it(played: tuple[Path, Report, Meter]) -> None:
    spans = played[2].spans
    frames = [(b, e) for name, b, e in zip(spans.names, spans.begins, spans.ends, strict=True) if name == "total"]
    inner = [(b, e) for n, b, e in zip(spans.names, spans.begins, spans.ends, strict=True) if n in ("detect", "read")]

    assert inner
    for begin, end in inner:
        assert any(first <= begin <= end <= last for first, last in frames)


def test_report_picture_and_trace_are_written(played: tuple[Path, Report, Meter], tmp_path: Path) -> None:
    _, found, meter = played
    files = Outputs(tmp_path / "r.json", tmp_path / "p.png", tmp_path / "t.json")
    text = io.StringIO()
    wanted = prepare(files, None, "fps=0.01")
    assert publish(found, meter, wanted, Console(file=text, width=120))

    assert read_json(tmp_path / "r.json") == found
    assert cv2.imread(str(tmp_path / "p.png")).shape == (420, 1100, 3)
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    lanes = {event["tid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    ran = [event for event in events if event["ph"] == "X"]
    assert len(ran) == len(meter.spans.names)
    assert all(event["ts"] >= 0 and event["dur"] >= 0 and lanes[event["tid"]] == event["name"] for event in ran)
    for word in ("Performance summary", "frame to told", "glass to done", ABSENT):
        assert word in text.getvalue()


def test_a_picture_without_matplotlib_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None; sys.argv = ['edge-alpr', 'bench', '--plot', 'p.png']; "
        "from edge_alpr.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)

    assert done.returncode == 2
    assert "pip install 'edge-alpr[plots]'" in done.stderr
    assert "Performance summary" not in done.stdout


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    for write in (lambda file: write_json(report(), file), lambda file: write_trace(Spans(), file)):
        with pytest.raises(EdgeAlprError, match="name another file"):
            write(tmp_path / "no" / "file.json")


def test_the_verb_ends_with_1_for_a_missed_budget_and_2_for_one_it_cannot_read() -> None:
    def bench(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edge_alpr.cli", "bench", "--tier", "small", "--threads", "1", *args]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)

    done = bench("--plates", "1", "--duration", "0.5", "--warm-up", "0.1", "--budget", "p50=0.001ms,fps=0.01")
    assert done.returncode == 1, done.stderr
    assert "missed p50" in done.stdout
    assert "missed fps" not in done.stdout
    assert "1 drawn" in done.stdout
    wrong = bench("--budget", "p99=soon")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("edge-alpr: --budget: 'p99=soon'")
