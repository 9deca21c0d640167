"""Which elements are taken for which source: tables over what is installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edge_alpr.camera import SOURCES
from edge_alpr.camera.bindings import parse
from edge_alpr.camera.buffers import has_feature
from edge_alpr.camera.cudamemory import FEATURE as CUDA
from edge_alpr.camera.decoders import (
    CODECS,
    CUDA_CAPS,
    KNOWN_ELEMENTS,
    NVMM_CAPS,
    TO_ROWS,
    choose,
    decode_chain,
    missing,
    package_of,
)
from edge_alpr.camera.nvmm import FEATURE as NVMM
from edge_alpr.camera.pipelines import Offer, csi_plan, file_plan, quoted, rtsp_plan, sink, v4l2_plan
from edge_alpr.camera.retry import FIRST_PAUSE_S, LONGEST_PAUSE_S, Outage
from edge_alpr.camera.trouble import Kind, judge
from edge_alpr.errors import MissingElementError, SourceCorruptError, SourceError
from edge_alpr.types import Memory

PARSERS = {"h264parse", "h265parse", "jpegparse", "rtph264depay", "rtph265depay", "rtpjpegdepay", "videoconvert"}


@pytest.mark.parametrize(
    ("codec", "installed", "element"),
    [
        ("H.264", {"nvv4l2decoder", "nvvidconv", "nvh264dec", "vah264dec", "avdec_h264"}, "nvv4l2decoder"),
        ("H.264", {"nvv4l2decoder", "nvh264dec", "vah264dec", "avdec_h264"}, "nvh264dec"),
        ("H.264", {"vah264dec", "avdec_h264"}, "vah264dec"),
        ("H.264", {"avdec_h264"}, "avdec_h264"),
        ("H.264", {"avdec_h265"}, None),
        ("H.265", {"nvv4l2decoder", "nvvideoconvert", "avdec_h265"}, "nvv4l2decoder"),
        ("H.265", {"nvh265dec", "vah265dec"}, "nvh265dec"),
        ("H.265", {"vah265dec", "avdec_h265"}, "vah265dec"),
        ("H.265", {"avdec_h265"}, "avdec_h265"),
        ("MJPEG", {"jpegdec", "avdec_mjpeg", "vajpegdec"}, "vajpegdec"),
        ("MJPEG", {"jpegdec", "avdec_mjpeg"}, "avdec_mjpeg"),
        ("MJPEG", {"jpegdec"}, "jpegdec"),
        ("MJPEG", set(), None),
    ],
)
def test_the_first_usable_decoder_of_the_table_is_taken(codec: str, installed: set[str], element: str | None) -> None:
    found = choose(next(c for c in CODECS if c.name == codec), installed)
    assert (found.element if found else None) == element


@pytest.mark.parametrize(
    ("stream", "installed", "convert", "text"),
    [
        ("video/x-h264", {"avdec_h264"}, False, "h264parse ! identity name=fed ! avdec_h264"),
        ("rtp/video/H264", {"avdec_h264"}, False, "rtph264depay ! h264parse ! identity name=fed ! avdec_h264"),
        ("rtp/video/JPEG", {"jpegdec"}, False, "rtpjpegdepay ! jpegparse ! identity name=fed ! jpegdec"),
        (
            "video/x-h265",
            {"nvv4l2decoder", "nvvidconv"},
            False,
            "h265parse ! identity name=fed ! nvv4l2decoder ! nvvidconv ! capsfilter caps=video/x-raw,format=NV12",
        ),
        (
            "image/jpeg",
            {"nvv4l2decoder", "nvvideoconvert"},
            False,
            "jpegparse ! identity name=fed ! nvv4l2decoder mjpeg=1 ! nvvideoconvert "
            "! capsfilter caps=video/x-raw,format=NV12",
        ),
        (
            "video/x-h264",
            {"avdec_h264"},
            True,
            "h264parse ! identity name=fed ! avdec_h264 ! videoconvert ! capsfilter caps=video/x-raw,format=I420",
        ),
        ("video/x-raw", set(), False, "identity"),
    ],
)
def test_decoding_chains(stream: str, installed: set[str], convert: bool, text: str) -> None:
    assert decode_chain(stream, installed | PARSERS, convert=convert) == text


def test_no_source_converts_colours_unless_asked() -> None:
    everything = KNOWN_ELEMENTS
    texts = [decode_chain(codec.media, everything) for codec in CODECS]
    texts += [file_plan("a", media, everything).text for media in ("video/quicktime", "image/jpeg")]
    texts += [rtsp_plan("rtsp://h/x", 100, 10).text, csi_plan(0).text]
    texts += [v4l2_plan("/dev/video0", [Offer("image/jpeg"), Offer("video/x-raw", "YUY2")], everything).text]
    assert not [text for text in texts if "videoconvert" in text]


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_a_missing_decoder_names_the_package_that_brings_one(codec: object) -> None:
    with pytest.raises(MissingElementError, match=r"avdec_.*sudo apt-get install gstreamer1\.0-libav"):
        decode_chain(codec.media, PARSERS)  # type: ignore[attr-defined]


def test_a_missing_parser_or_depayloader_is_named_too() -> None:
    with pytest.raises(MissingElementError, match=r"'h264parse'.*gstreamer1\.0-plugins-bad"):
        decode_chain("video/x-h264", {"avdec_h264"})
    with pytest.raises(MissingElementError, match=r"'rtph264depay'.*gstreamer1\.0-plugins-good"):
        decode_chain("rtp/video/H264", {"avdec_h264", "h264parse"})


def test_every_known_element_has_a_package() -> None:
    assert all(package_of(name) and "\n" not in str(missing(name)) for name in KNOWN_ELEMENTS)


def test_a_codec_outside_the_table_is_refused_by_name() -> None:
    with pytest.raises(SourceError, match=r"video/x-vp9.*H\.264, H\.265, MJPEG"):
        decode_chain("video/x-vp9", KNOWN_ELEMENTS)


@pytest.mark.parametrize(
    ("offers", "start"),
    [
        ([("image/jpeg", ""), ("video/x-raw", "NV12")], "video/x-raw,format=NV12 ! identity ! appsink"),
        ([("image/jpeg", ""), ("video/x-raw", "YUY2")], "image/jpeg ! jpegparse ! identity name=fed ! avdec_mjpeg"),
        ([("video/x-h264", ""), ("video/x-raw", "YUY2")], "video/x-h264 ! h264parse ! identity name=fed ! avdec_h264"),
        (
            [("video/x-raw", "YUY2")],
            "video/x-raw,format=YUY2 ! videoconvert ! capsfilter caps=video/x-raw,format=I420 ! appsink",
        ),
    ],
)
def test_a_usb_camera_sends_what_needs_least_work(offers: list[tuple[str, str]], start: str) -> None:
    installed = PARSERS | {"avdec_mjpeg", "avdec_h264"}
    plan = v4l2_plan("/dev/video0", [Offer(*offer) for offer in offers], installed)
    assert plan.text.startswith(f'v4l2src device="/dev/video0" ! {start}')


def test_a_usb_camera_without_pictures_is_refused() -> None:
    with pytest.raises(SourceError, match="offers no pictures"):
        v4l2_plan("/dev/video0", [Offer("video/mpegts")], KNOWN_ELEMENTS)


def test_a_csi_camera_goes_from_nvmm_to_the_luma_plane() -> None:
    plan = csi_plan(1)
    assert plan.text == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),format=NV12 ! nvvidconv ! "
        f"video/x-raw,format=NV12 ! {sink(live=True)}"
    )
    assert plan.needs == ("nvarguscamerasrc", "nvvidconv", "appsink")


# In device memory


def test_a_csi_camera_stays_in_video_memory_where_asked() -> None:
    plan = csi_plan(1, Memory.NVMM)
    assert plan.text == (
        f"nvarguscamerasrc sensor-id=1 ! {NVMM_CAPS} ! nvvidconv bl-output=false output-buffers=8 ! {NVMM_CAPS} ! "
        f"{sink(live=True, memory=Memory.NVMM)}"
    )
    assert plan.needs == csi_plan(1).needs


@pytest.mark.parametrize(
    ("stream", "memory", "convert", "text"),
    [
        ("video/x-h264", Memory.NVMM, False, f"h264parse ! identity name=fed ! nvv4l2decoder ! {TO_ROWS} ! NVMM"),
        ("rtp/video/H265", Memory.NVMM, True, "rtph265depay ! h265parse ! identity name=fed ! nvv4l2decoder ! "
         f"{TO_ROWS} ! NVMM"),
        ("image/jpeg", Memory.NVMM, False, f"jpegparse ! identity name=fed ! nvv4l2decoder mjpeg=1 ! {TO_ROWS} ! NVMM"),
        ("video/x-raw", Memory.NVMM, False, f"{TO_ROWS} ! NVMM"),
        ("video/x-h264", Memory.CUDA, False, "h264parse ! identity name=fed ! nvh264dec ! CUDA"),
        ("video/x-h265", Memory.CUDA, True, "h265parse ! identity name=fed ! nvh265dec ! cudaconvert ! CUDA"),
        ("video/x-raw", Memory.CUDA, False, "cudaupload ! cudaconvert ! CUDA"),
    ],
)
def test_decoding_chains_into_device_memory(stream: str, memory: Memory, convert: bool, text: str) -> None:
    found = decode_chain(stream, KNOWN_ELEMENTS, convert=convert, memory=memory)
    for name, caps in (("NVMM", NVMM_CAPS), ("CUDA", CUDA_CAPS)):
        found = found.replace(f'capsfilter caps="{caps}"', name)
    assert found == text


def test_all_plans_into_device_memory_end_there_and_nothing_is_downloaded() -> None:
    h264 = [Offer("video/x-h264")]
    for memory, caps in ((Memory.NVMM, NVMM_CAPS), (Memory.CUDA, CUDA_CAPS)):
        plans = [
            file_plan("a", "video/quicktime", KNOWN_ELEMENTS, memory=memory),
            file_plan("a", "video/x-h264", KNOWN_ELEMENTS, memory=memory),
            rtsp_plan("rtsp://h/x", 100, 10, memory),
            v4l2_plan("/dev/video0", h264, KNOWN_ELEMENTS, memory=memory),
            v4l2_plan("/dev/video0", [Offer("video/x-raw", "YUY2")], KNOWN_ELEMENTS, memory=memory),
        ]
        assert all(plan.memory is memory and plan.text.endswith(f'caps="{caps}"') for plan in plans)
        assert not [plan for plan in plans if "videoconvert" in plan.text or "format=I420" in plan.text]


def test_nothing_goes_into_device_memory_unless_asked() -> None:
    texts = [file_plan("a", media, KNOWN_ELEMENTS).text for media in ("video/quicktime", "video/x-h264")]
    texts += [csi_plan(0).text.partition("nvvidconv")[2], rtsp_plan("rtsp://h/x", 100, 10).text]
    assert not [text for text in texts if "memory:" in text]


@pytest.mark.parametrize(
    ("stream", "installed", "memory", "reason"),
    [
        ("video/x-h264", {"nvvidconv", "avdec_h264"}, Memory.NVMM, r"into nvmm memory.*'nvv4l2decoder'.*JetPack"),
        ("video/x-h264", {"nvv4l2decoder", "nvvideoconvert"}, Memory.NVMM, r"video memory.*'nvvidconv'.*JetPack"),
        ("video/x-h264", {"avdec_h264"}, Memory.CUDA, r"into cuda memory.*'nvh264dec'.*plugins-bad"),
        ("image/jpeg", {"avdec_mjpeg"}, Memory.CUDA, r"MJPEG into cuda memory is not supported.*system memory"),
        ("video/x-raw", {"cudaupload"}, Memory.CUDA, r"GPU memory.*'cudaconvert'"),
    ],
)
def test_what_device_memory_lacks_is_named(stream: str, installed: set[str], memory: Memory, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        decode_chain(stream, PARSERS | installed, memory=memory)


@pytest.mark.parametrize("memory", list(Memory))
def test_gstreamer_understands_the_sinks(memory: Memory) -> None:
    caps = parse(f"fakesrc ! {sink(live=True, memory=memory)}").get_by_name("sink").get_property("caps")
    feature = {Memory.SYSTEM: "memory:SystemMemory", Memory.NVMM: NVMM, Memory.CUDA: CUDA}[memory]
    assert has_feature(caps, feature) and caps.get_structure(0).get_name() == "video/x-raw"


def test_recordings_drop_nothing_and_cameras_keep_the_newest() -> None:
    file = file_plan("a.mp4", "video/quicktime", KNOWN_ELEMENTS).text
    assert file.startswith('filesrc location="a.mp4" ! qtdemux name=head appsink name=sink sync=false')
    assert "drop=false" in file
    assert "max-buffers=1 drop=true" in rtsp_plan("rtsp://h/x", 100, 10).text
    assert "latency=250" in rtsp_plan("rtsp://h/x", 250, 10).text


@pytest.mark.parametrize(
    ("media", "problem"),
    [("audio/mpeg", "holds no video, only audio/mpeg"), ("text/plain", "no video that can be read, but text/plain")],
)
def test_a_file_of_another_kind_is_refused(media: str, problem: str) -> None:
    with pytest.raises(SourceCorruptError, match=problem):
        file_plan("a", media, KNOWN_ELEMENTS)


def test_values_in_pipeline_text_are_quoted() -> None:
    assert quoted('a "b" \\c') == '"a \\"b\\" \\\\c"'


@pytest.mark.parametrize(
    ("domain", "code", "message", "debug", "kind"),
    [
        ("gst-resource-error-quark", 3, "Could not open.", "", Kind.NOT_FOUND),
        ("gst-resource-error-quark", 4, "Device is busy.", "", Kind.BUSY),
        ("gst-resource-error-quark", 15, "Unauthorized", "", Kind.REFUSED),
        ("gst-resource-error-quark", 9, "Could not read.", "", Kind.LOST),
        ("gst-stream-error-quark", 7, "Could not decode.", "", Kind.DAMAGED),
        ("gst-stream-error-quark", 6, "Missing plug-in.", "", Kind.MISSING),
        ("gst-core-error-quark", 12, "Missing plug-in.", "", Kind.MISSING),
        ("gst-stream-error-quark", 1, "Internal.", "x.c(1):\nstopped, reason not-negotiated (-4)", Kind.NO_LUMA),
    ],
)
def test_what_an_error_of_gstreamer_means(domain: str, code: int, message: str, debug: str, kind: Kind) -> None:
    trouble = judge(domain, code, message, debug)
    assert trouble.kind is kind
    assert "\n" not in trouble.text


def test_pauses_grow_to_a_limit_and_stop_with_the_budget() -> None:
    outage, now, pauses = Outage(60.0, 100.0, chance=lambda: 0.5), 100.0, []
    while (pause := outage.next_pause_s(now)) is not None:
        pauses.append(pause)
        now += pause
    assert pauses[:6] == [FIRST_PAUSE_S, 1.0, 2.0, 4.0, 8.0, LONGEST_PAUSE_S]
    assert now == pytest.approx(160.0) and max(pauses) <= LONGEST_PAUSE_S
    outage.over(200.0)
    assert outage.next_pause_s(200.0) == FIRST_PAUSE_S


def test_pauses_vary_so_that_devices_do_not_knock_at_once() -> None:
    pauses = {Outage(60.0, 0.0, chance=lambda c=chance: c).next_pause_s(0.0) for chance in (0.0, 0.5, 1.0)}
    assert pauses == {0.375, 0.5, 0.625}


def test_every_scheme_of_the_contract_has_its_row() -> None:
    assert set(SOURCES) == {"file", "dir", "rtsp", "rtsps", "v4l2", "csi", "sample"}


def test_without_the_binding_the_package_imports_and_says_what_to_install() -> None:
    script = """
import sys
sys.modules["gi"] = None
import edge_alpr.camera as camera
from edge_alpr.config import SourceConfig
from edge_alpr.errors import MissingElementError
for uri in ("rtsp://127.0.0.1/x", "csi://0", "v4l2:///dev/video0", sys.executable):
    try:
        camera.open_source(SourceConfig(uri=uri))
    except MissingElementError as error:
        assert "sudo apt-get install python3-gi python3-gst-1.0" in str(error), error
        assert "\\n" not in str(error)
    else:
        raise AssertionError(uri)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
