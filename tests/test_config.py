"""The configuration file: strict, with messages that name the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_alpr.config import Config, format_config, load_config, parse_config, with_sources
from edge_alpr.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sourc]\n", "unknown key 'sourc'; known here: source, cameras, models"),
        ("[detect]\nthreshhold = 0.5\n", "unknown key 'detect.threshhold'; known here: threshold, nms_iou"),
        ('[detect]\nthreshold = "high"\n', "detect.threshold: expected float, got str"),
        ("[detect]\nthreshold = 1.5\n", "detect.threshold: expected float <= 1.0"),
        ("[track]\nmax_gap_s = -1\n", "track.max_gap_s: expected float > 0.0"),
        ('[output]\nstates = ["sure"]\n', "output.states[0]: invalid enum value 'sure'"),
        ('[[cameras]]\nurl = "a.mp4"\n', "unknown key 'cameras[0].url'; known here: uri, camera_id"),
        ("[[cameras]]\ncamera_id = 3\n", "cameras[0].camera_id: expected str"),
        ("[[cameras]]\n", "two cameras have the camera_id 'camera0'; give each one of its own"),
        ('[[cameras]]\ncamera_id = "a"\n[[cameras]]\ncamera_id = "a"\n', "two cameras have the camera_id 'a'"),
        ("".join(f'[[cameras]]\ncamera_id = "{i}"\n' for i in range(4)), "5 cameras; one drive reads at most 4"),
        ('[[webhooks]]\nname = "a"\nadress = "x"\n', "unknown key 'webhooks[0].adress'; known here: name, url"),
        ('[[webhooks]]\nname = "a"\n', "webhooks[0]: object missing required field url"),
        ('[[webhooks]]\nname = "a"\nurl = "ftp://x"\n', "webhooks[0].url: expected str matching regex"),
        ('[[webhooks]]\nname = "a"\nurl = "http://x"\n' * 2, "two webhooks have the name 'a'"),
        ('[metrics]\nlisten = "9477"\n', "metrics.listen: expected str matching regex"),
        ("cameras = 3\n", "cameras: expected array, got int"),
        ("detect = 3\n", "detect: expected table, got int"),
        ("[detect\n", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_names_the_key(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "car.toml")
    assert str(caught.value).startswith("car.toml: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_changes_only_what_it_names() -> None:
    config = parse_config('[source]\nuri = "v4l2:///dev/video0"\n')
    assert config.source.uri == "v4l2:///dev/video0"
    assert config.detect == Config().detect


def test_what_is_printed_reads_back() -> None:
    config = parse_config(
        '[detect]\nthreshold = 0.25\n[output]\nstates = ["confirmed"]\n'
        '[[cameras]]\ncamera_id = "rear"\nuri = "rtsp://10.0.0.8/rear"\n'
    )
    assert parse_config(format_config(config)) == config


def test_each_uri_is_a_camera_with_the_settings_of_its_place() -> None:
    known = parse_config(
        '[source]\ncamera_id = "front"\nlatency_ms = 50\n'
        '[[cameras]]\ncamera_id = "rear"\nuri = "b.mp4"\nreconnect_s = 9.0\n'
    )
    three = with_sources(known, ["x.mp4", "y.mp4", "z.mp4"])
    assert [(s.uri, s.camera_id) for s in three.sources] == [
        ("x.mp4", "front"), ("y.mp4", "rear"), ("z.mp4", "camera2")
    ]  # fmt: skip
    assert (three.source.latency_ms, three.cameras[0].reconnect_s) == (50, 9.0)
    assert with_sources(known, ["x.mp4"]).cameras == ()
    with pytest.raises(ConfigError, match="'camera1'"):
        with_sources(parse_config('[source]\ncamera_id = "camera1"\n'), ["x.mp4", "y.mp4"])


def test_unreadable_files_are_errors_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "latin.toml")
