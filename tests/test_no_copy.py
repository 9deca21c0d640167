"""No full frame is copied between a recording and the event in the store: what each frame allocates is counted.

NumPy tells `tracemalloc` of its arrays, and those that OpenCV gives back are NumPy's. What OpenCV and ONNX Runtime
allocate within a call is not seen. The frames are so large (4K) that all the small things a frame makes (its scene for
the picture, crops, JPEGs) come to less than its luma plane. That the decoder's own memory is lent is tested in
test_camera_recording.py.
"""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_camera import Around, need_elements, opened

from edge_alpr.config import Config, ModelsConfig, SourceConfig, StoreConfig
from edge_alpr.drive import Drive, Probe, Screen
from edge_alpr.ports import FrameSource
from edge_alpr.types import Frame, Luma

WIDTH, HEIGHT = 3840, 2160
LUMA = WIDTH * HEIGHT
"""Bytes."""


class Counted(Around):
    """`most` are the bytes allocated at once in each frame, from its mapping until the next one is asked for, beyond
    what lived before."""

    def __init__(self, source: FrameSource) -> None:
        super().__init__(source)
        self.most: list[int] = []

    def __iter__(self) -> Iterator[Frame]:
        tracemalloc.start()
        try:
            frames = super().__iter__()
            before = tracemalloc.get_traced_memory()[0]
            while (frame := next(frames, None)) is not None:
                yield frame
                now, peak = tracemalloc.get_traced_memory()
                self.most.append(peak - before)
                before = now
                tracemalloc.reset_peak()
        finally:
            tracemalloc.stop()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> Path:
    need_elements("x264enc", "mp4mux", "avdec_h264")
    path = tmp_path_factory.mktemp("clip") / "4k.mp4"
    command = [sys.executable, str(repo / "docs" / "hd_clip.py"), str(path), "--size", f"{WIDTH}x{HEIGHT}"]
    subprocess.run([*command, "--plates", "2", "--seconds", "0.7"], check=True, timeout=120)
    return path


def test_no_frame_is_copied_from_the_recording_to_the_store(clip: Path, tmp_path: Path) -> None:
    config = Config(
        source=SourceConfig(uri=str(clip)),
        models=ModelsConfig(threads=1),
        store=StoreConfig(path=str(tmp_path / "store")),
    )
    sources: list[Counted] = []
    told_in: list[str] = []

    def source(wanted: SourceConfig) -> FrameSource:
        sources.append(Counted(opened(wanted.uri)))
        return sources[0]

    def listen(name: str, _begin: int, _end: int) -> None:
        told_in.extend([name] if name in ("store", "total") else [])

    summary = Drive(config, Screen(), Probe(source, listen)).run()

    assert summary.frames == len(sources[0].most) == 21
    assert summary.reads == 2 * summary.frames, "every part of the way had something to do"
    assert summary.confirmed == 2 and "store" in told_in
    assert len(list((tmp_path / "store").rglob("*.jpg"))) == 4
    assert max(sources[0].most) < LUMA
    assert np.median(sources[0].most) < 0.4 * LUMA, "nor are its colours; a quarter is the half size on the way down"


@pytest.mark.parametrize(
    "copy",
    [np.copy, lambda luma: cv2.resize(luma, (WIDTH, HEIGHT)), lambda luma: cv2.cvtColor(luma, cv2.COLOR_GRAY2BGR)],
)
def test_a_copy_would_be_counted(copy: Callable[[Luma], Luma], clip: Path) -> None:
    source = Counted(opened(clip))
    with source:
        for frame in source:
            copy(frame.luma)
            frame.release()
    assert min(source.most) >= LUMA
