"""The doctor on this machine, on one without GStreamer's elements, and with parts that fail."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers_infer import blob_finder, card, put
from rich.console import Console

from edge_alpr.config import Config, ModelsConfig, SourceConfig, StoreConfig
from edge_alpr.doctor import PROBES, Finding, Probe, examine, host, networks, render, video, worst
from edge_alpr.errors import MissingElementError
from edge_alpr.infer.package import shipped

# What a machine may truly lack: a set clock, a camera, and what this version does not do.
MAY_BE_LIMITED = {"clock", "USB camera", "GPU"}


def config_at(folder: Path, **sections) -> Config:
    return Config(store=StoreConfig(path=str(folder)), **sections)


def printed(findings: list[Finding], width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    render(findings, console)
    return console.file.getvalue()


def only(findings, area: str) -> Finding:
    return next(finding for finding in findings if finding.area == area)


def test_this_machine_is_able(tmp_path):
    shipped("detector")
    shipped("reader")
    findings = examine(config_at(tmp_path))
    assert [f for f in findings if f.status == "missing"] == []
    assert {f.area for f in findings if f.status == "limited"} <= MAY_BE_LIMITED
    assert all(f.remedy or f.status == "ok" or f.area == "GPU" for f in findings)
    assert {"H.264", "H.265", "MJPEG", "sample drive", "store"} <= {f.area for f in findings}
    assert re.search(r"plate-reader .* \d+\.\d ms a plate", only(findings, "reader").what)
    assert re.search(r"^\d+x\d+, first picture decoded", only(findings, "sample drive").what)


def test_this_machine_can_decode(tmp_path):
    probes = [Probe(look.__name__, look) for look in (video.gstreamer, video.recordings, video.decoders, video.rtsp)]
    findings = examine(config_at(tmp_path), probes)
    assert [(f.area, f.status) for f in findings] == [
        (area, "ok") for area in ("GStreamer", "recordings", "H.264", "H.265", "MJPEG", "network camera")
    ]
    assert re.fullmatch(r"decoded by \w+", only(findings, "H.264").what)


SCRIPT = """
import json, sys
from dataclasses import asdict
from edge_alpr.config import Config, StoreConfig
from edge_alpr.doctor import examine
print(json.dumps([asdict(f) for f in examine(Config(store=StoreConfig(path=sys.argv[1])))]))
"""


def elsewhere(folder: Path, **environment: str) -> dict[str, dict[str, str]]:
    """The findings of a fresh process, by area."""
    command = [sys.executable, "-c", SCRIPT, str(folder / "store")]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=True)
    assert "Traceback" not in done.stderr
    return {finding["area"]: finding for finding in json.loads(done.stdout)}


def test_a_machine_without_plugins_is_told_which_packages(tmp_path):
    (tmp_path / "none").mkdir()
    found = elsewhere(
        tmp_path,
        GST_PLUGIN_SYSTEM_PATH_1_0=str(tmp_path / "none"),
        GST_PLUGIN_PATH_1_0="",
        GST_REGISTRY=str(tmp_path / "registry.bin"),
    )
    expected = {
        "GStreamer": ("typefind, identity, appsink, videoconvert", "gstreamer1.0-plugins-base"),
        "recordings": ("matroskademux", "gstreamer1.0-plugins-bad gstreamer1.0-plugins-good"),
        "H.264": ("h264parse, avdec_h264", "gstreamer1.0-libav gstreamer1.0-plugins-bad"),
        "H.265": ("h265parse, avdec_h265", "gstreamer1.0-libav gstreamer1.0-plugins-bad"),
        "MJPEG": ("jpegparse, avdec_mjpeg", "gstreamer1.0-libav gstreamer1.0-plugins-bad"),
        "network camera": ("rtspsrc, rtph264depay", "gstreamer1.0-plugins-good"),
    }
    for area, (elements, packages) in expected.items():
        assert found[area]["status"] == "missing"
        assert elements in found[area]["what"]
        assert found[area]["remedy"].startswith("sudo apt-get install ")
        assert packages in found[area]["remedy"]
    assert found["Python"]["status"] == "ok"
    assert found["store"]["status"] == "ok"


def test_a_machine_without_the_binding_is_told_so(tmp_path):
    (tmp_path / "gi.py").write_text("raise ImportError('no gi here')\n")
    found = elsewhere(tmp_path, PYTHONPATH=str(tmp_path))
    for area in ("GStreamer", "decoders", "network camera"):
        assert found[area]["status"] == "missing"
        assert "no gi here" in found[area]["what"]
        assert "sudo apt-get install python3-gi" in found[area]["remedy"]


def test_a_run_time_that_does_not_load_is_a_finding(tmp_path):
    shipped("reader")
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libonnxruntime.so: wrong ELF class')\n")
    found = elsewhere(tmp_path, PYTHONPATH=str(tmp_path))
    assert found["run-time"]["status"] == found["reader"]["status"] == "missing"
    assert "wrong ELF class" in found["run-time"]["what"]
    assert found["GStreamer"]["status"] == "ok"


# --- the table


def boom(config: Config) -> list[Finding]:
    raise ZeroDivisionError("by\nzero")


def refuses(config: Config) -> list[Finding]:
    raise MissingElementError("decoding needs the element 'x', not installed; sudo apt-get install y")


def half(config: Config):
    yield Finding("half", "ok", "one")
    raise OSError("two")


def test_a_probe_that_fails_is_a_finding():
    probes = [Probe("a", boom), Probe("b", refuses), Probe("half", half)]
    assert examine(Config(), probes) == [
        Finding("a", "missing", "the check itself failed: ZeroDivisionError: by zero", "report it with this line"),
        Finding("b", "missing", "decoding needs the element 'x', not installed", "sudo apt-get install y"),
        Finding("half", "ok", "one"),
        Finding("half", "missing", "the check itself failed: OSError: two", "report it with this line"),
    ]


def test_the_worst_is_told():
    ok, limited, missing = (Finding("a", status, "") for status in ("ok", "limited", "missing"))
    assert worst([]) == worst([ok]) == "ok"
    assert worst([ok, limited, ok]) == "limited"
    assert worst([limited, missing, ok]) == "missing"


def test_commands_are_never_broken_over_lines():
    remedy = "sudo apt-get install " + " ".join(f"package-{i}" for i in range(30))
    text = printed([Finding("[a]", "missing", "[b] it is [not] there", remedy), Finding("c", "ok", "fine")], 60)
    assert f"  [a]: {remedy}\n" in text
    assert "[b] it is [not] there" in text
    assert "To mend it" not in printed([Finding("c", "ok", "fine")])


def test_every_probe_has_its_own_area():
    assert len({probe.area for probe in PROBES}) == len(PROBES)


# --- single probes


def test_a_store_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    (finding,) = examine(config_at(tmp_path / "file" / "store"), [Probe("store", host.store)])
    assert finding.status == "missing"
    assert "file where a folder is needed" in finding.what + finding.remedy


def test_a_damaged_store(tmp_path):
    (tmp_path / "events.sqlite3").write_bytes(b"no database at all" * 99)
    (finding,) = examine(config_at(tmp_path), [Probe("store", host.store)])
    assert (finding.area, finding.status) == ("store", "missing")
    assert "events.sqlite3" in finding.what
    assert (tmp_path / "events.sqlite3").read_bytes().startswith(b"no database"), "the doctor mends nothing by itself"


def test_the_doctor_makes_no_store(tmp_path):
    (finding,) = host.store(config_at(tmp_path / "deep" / "store"))
    assert finding.status == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_disk_with_little_room(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "_LOW_BYTES", 1 << 62)
    (finding,) = host.store(config_at(tmp_path))
    assert (finding.status, "MB free" in finding.what) == ("limited", True)


def test_a_jetson_is_known(tmp_path, monkeypatch):
    (tmp_path / "release").write_text("# R36 (release), REVISION: 4.3, GCID: 38968081\n# more\n")
    (tmp_path / "model").write_text("NVIDIA Jetson Orin NX\0")
    monkeypatch.setattr(host, "L4T_RELEASE", tmp_path / "release")
    monkeypatch.setattr(host, "DEVICE_TREE_MODEL", tmp_path / "model")
    (finding,) = host.board(Config())
    assert finding.what.startswith("NVIDIA Jetson Orin NX, ")
    assert "L4T R36 (release), REVISION: 4.3" in finding.what


def test_an_environment_that_hides_the_system(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    (finding,) = host.python(Config())
    assert (finding.status, "--system-site-packages" in finding.remedy) == ("limited", True)
    (tmp_path / "pyvenv.cfg").write_text("include-system-site-packages = true\n")
    (finding,) = host.python(Config())
    assert finding.status == "ok"


@pytest.mark.parametrize(("state", "status"), [(0, "ok"), (5, "limited"), (-1, "limited")])
def test_the_clock(monkeypatch, state, status):
    class Library:
        def adjtimex(self, buffer) -> int:
            assert not any(buffer.raw), "nothing may be set"
            return state

    monkeypatch.setattr(host.ctypes, "CDLL", lambda name: Library())
    (finding,) = host.clock(Config())
    assert finding.status == status


def test_a_camera_that_the_configuration_wants(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "DEVICES", tmp_path)
    (finding,) = video.v4l2(Config())
    assert finding.status == "limited"
    (tmp_path / "video0").touch()
    (finding,) = video.v4l2(Config())
    assert (finding.status, finding.what) == ("ok", str(tmp_path / "video0"))
    (finding,) = video.v4l2(Config(source=SourceConfig(uri=f"v4l2://{tmp_path}/video1")))
    assert (finding.status, "video1" in finding.what) == ("missing", True)


def test_a_package_that_does_not_verify(tmp_path):
    path = put(tmp_path, blob_finder(), card("detector"))
    path.write_bytes(path.read_bytes() + b"\0")
    config = Config(models=ModelsConfig(detector=str(path)))
    detector, whole = examine(config, [Probe("detector", networks.detector), Probe("whole way", networks.whole_way)])
    assert (detector.status, whole.status) == ("missing", "missing")
    assert "sha256" in detector.what
    assert "get the pair again" in detector.remedy
    assert "not tried" in whole.what


def test_own_models_that_misread_the_drawn_plate(tmp_path):
    shipped("reader")
    path = put(tmp_path, blob_finder(), card("detector"))
    (finding,) = networks.whole_way(Config(models=ModelsConfig(detector=str(path))))
    assert finding.status == "limited"
    assert networks.GOLDEN_TEXT in finding.what


def test_shipped_models_that_misread_the_drawn_plate_do_not_work(monkeypatch):
    shipped("detector")
    shipped("reader")
    monkeypatch.setattr(networks, "golden_frame", lambda: np.full((720, 1280), 96, np.uint8))
    (finding,) = networks.whole_way(Config())
    assert finding.status == "missing"
    assert "do not work here" in finding.what


def test_the_drawn_plate_is_read_by_the_shipped_reader():
    shipped("reader")
    package = networks.configured(Config().models, "reader")
    plate = networks.Detection(networks.box_quad(*networks.GOLDEN_BOX), 1.0)
    crop = networks.adapt.cutter(package.card)(networks.golden_frame(), plate)
    (read,) = networks._reader(Config(), package)([crop])
    assert read.plate == networks.GOLDEN_TEXT
