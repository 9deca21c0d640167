"""The live picture for a screen: the newest scene with its plates outlined, made only while somebody looks.

In the run-time folder: `watching` is touched by who looks (its text names a camera, empty is the first one);
`live.jpg` and `live.json` are what there is to see. The frame threads only hand over what they have; a thread of
its own draws and writes, and none of its faults reaches the drive.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import cv2
import msgspec
import numpy as np
from typing_extensions import Self

from edge_alpr.config import Config
from edge_alpr.device.host import name_this_thread
from edge_alpr.errors import RuntimeFolderError
from edge_alpr.pipeline import Found
from edge_alpr.runtime import runtime_folder
from edge_alpr.stages.keep import picture
from edge_alpr.types import Scene, Sighting

PICTURE, FACTS, WATCHING = "live.jpg", "live.json", "watching"
WATCHED_S = 3.0
"""Who looks touches `watching` more often than this."""
_LOOK_S = 0.5
"""How often it is asked whether somebody looks."""
_QUALITY = 75
_OUTLINE = (80, 220, 80)
_log = logging.getLogger(__name__)


class LivePlate(msgspec.Struct, frozen=True, kw_only=True):
    """A plate in view: the text of its track so far (may be empty), how sure it is, its corners in frame pixels."""

    track_id: int
    plate: str
    score: float
    quad: tuple[tuple[float, float], ...]


class LiveFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to a live picture; `crc32` is that of the picture's file, which may be a moment older or newer."""

    version: int = 1
    number: int
    camera_id: str
    cameras: tuple[str, ...]
    """All that can be looked at."""
    stamp_ns: int
    """Of the machine's monotonic clock, when the frame was read."""
    epoch_ms: int
    width: int
    height: int
    """Of the frame."""
    fps: float
    """Frames of all cameras that are read in a second."""
    crc32: int
    plates: tuple[LivePlate, ...]


class _Shot(msgspec.Struct, frozen=True):
    scene: Scene
    plates: tuple[LivePlate, ...]
    camera_id: str
    epoch_ms: int
    stamp_ns: int


class LiveView:
    """Use it as a context manager. `wanted` and `show` are called by the frame threads and never wait."""

    def __init__(self, config: Config) -> None:
        self._cameras = tuple(source.camera_id for source in config.sources)
        self._period_s = 1 / config.display.live_fps if config.display.live_fps else None
        self._folder = _folder(config) if self._period_s else None
        self._camera: str | None = None
        self._due_s = 0.0
        self._shot: _Shot | None = None
        self._frames, self._number = 0, 0
        self._counted = (0, time.monotonic())
        self._fps = 0.0
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="live view", daemon=True)

    def wanted(self, camera_id: str) -> bool:
        """Whether a scene is wanted of this camera's next frame, even without a plate in it."""
        return camera_id == self._camera and time.monotonic() >= self._due_s

    def show(self, found: Found, seen: Sequence[Sighting]) -> None:
        """Take what was found in a frame and the tracks after it."""
        self._frames += 1
        if found.scene is None or self._period_s is None or not self.wanted(found.camera_id):
            return
        now_s = time.monotonic()
        self._due_s = max(self._due_s + self._period_s, now_s)
        self._shot = _Shot(found.scene, _plates(seen), found.camera_id, found.epoch_ms, time.monotonic_ns())
        self._wake.set()

    def __enter__(self) -> Self:
        if self._folder is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._wake.set()
        if self._folder is not None:
            self._thread.join(WATCHED_S)
            self._clear()

    def _run(self) -> None:
        name_this_thread("live view")
        failing, looked_s = False, 0.0
        while not self._closing.is_set():
            now_s = time.monotonic()
            if now_s - looked_s >= _LOOK_S:
                looked_s, self._camera = now_s, self._watched()
                if self._camera is None:
                    self._clear()
            self._wake.wait(_LOOK_S)
            self._wake.clear()
            shot, self._shot = self._shot, None
            try:
                if shot is not None:
                    self._write(shot)
                failing = False
            except (OSError, cv2.error) as error:
                if not failing:
                    _log.warning("no live picture: %s", error)
                failing = True

    def _clear(self) -> None:
        """What is over must not look like a street."""
        assert self._folder is not None
        with suppress(OSError):
            for name in (FACTS, PICTURE):
                (self._folder / name).unlink(missing_ok=True)

    def _watched(self) -> str | None:
        """The camera that somebody looks at."""
        assert self._folder is not None
        path = self._folder / WATCHING
        try:
            if not -WATCHED_S < time.time() - path.stat().st_mtime < WATCHED_S:
                return None
            named = path.read_text(encoding="utf-8", errors="replace")[:200].strip()
        except OSError:
            return None
        return named if named in self._cameras else self._cameras[0]

    def _write(self, shot: _Shot) -> None:
        packed = _drawn(shot)
        self._number += 1
        facts = LiveFacts(
            number=self._number,
            camera_id=shot.camera_id,
            cameras=self._cameras,
            stamp_ns=shot.stamp_ns,
            epoch_ms=shot.epoch_ms,
            width=shot.scene.width,
            height=shot.scene.height,
            fps=self._rate(),
            crc32=zlib.crc32(packed),
            plates=shot.plates,
        )
        self._replace(PICTURE, packed)
        self._replace(FACTS, msgspec.json.encode(facts))

    def _rate(self) -> float:
        count, since_s = self._counted
        now_s = time.monotonic()
        if now_s - since_s >= 1:
            self._fps = round((self._frames - count) / (now_s - since_s), 1)
            self._counted = (self._frames, now_s)
        return self._fps

    def _replace(self, name: str, data: bytes) -> None:
        assert self._folder is not None
        part = self._folder / f".{name}-{os.getpid()}.part"
        with open(part, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(data)
        part.replace(self._folder / name)


def _folder(config: Config) -> Path | None:
    try:
        return runtime_folder(config)
    except RuntimeFolderError as error:
        _log.warning("no live picture: %s", error)
        return None


def _plates(seen: Sequence[Sighting]) -> tuple[LivePlate, ...]:
    """Those that are in the frame itself."""
    return tuple(
        LivePlate(
            track_id=sighting.track_id,
            plate=sighting.read.plate,
            score=round(min(max(float(sighting.read.score), 0.0), 1.0), 3),
            quad=tuple((round(float(x), 1), round(float(y), 1)) for x, y in sighting.current.detection.quad),
        )
        for sighting in seen
        if sighting.current is not None
    )


def _drawn(shot: _Shot) -> bytes:
    """The scene as a JPEG, each plate outlined."""
    scene, canvas = shot.scene, picture(shot.scene)
    scale = np.array([scene.luma.shape[1] / scene.width, scene.luma.shape[0] / scene.height])
    outlines = [np.round(np.array(plate.quad) * scale).astype(np.int32) for plate in shot.plates]
    cv2.polylines(canvas, outlines, True, _OUTLINE, 2, cv2.LINE_AA)
    done, packed = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return packed.tobytes() if done else b""
