"""One frozen type per hop: Frame, Detection, Crop, Read, Sighting, Event.

Shapes are written (rows, columns); image coordinates are pixels, x to the right, y down, the centre of
the top-left pixel at (0, 0). Quads list their corners clockwise as the plate is read: top left, top
right, bottom right, bottom left. Scores are 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from types import TracebackType
from typing import Any, Literal, TypeAlias

import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

Luma: TypeAlias = NDArray[np.uint8]
"""(H, W) uint8, rows may be padded (strided view)."""
Floats: TypeAlias = NDArray[np.float32]
State: TypeAlias = Literal["possible", "confirmed", "withdrawn"]


class Memory(Enum):
    """Where the pixels of a frame lie."""

    SYSTEM = "system"
    CUDA = "cuda"
    NVMM = "nvmm"


@dataclass(frozen=True, slots=True, eq=False)
class DevicePlane:
    """The Y plane of a frame in device memory: `pointer` to its first byte, `pitch` bytes a row.

    Valid until the frame is released.
    """

    pointer: int
    width: int
    height: int
    pitch: int
    memory: Memory


HostPixels: TypeAlias = tuple[Luma, tuple[Luma, ...]]
"""Luma and chroma of a frame as `Frame` has them, in the host's memory."""


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a camera, lent by its source until `release` is called (use it as a context manager).

    `luma` is a view on the mapped buffer: whoever needs pixels after the release copies them. `chroma` is
    (U, V) for I420, (UV,) for NV12, () for grey. `stamp_ns` is the media clock (presentation time of a
    recording, monotonic time of a live camera), `epoch_ms` the wall clock, UTC. A frame in device memory has a
    `plane`; its `luma` is (0, 0) and it has no `chroma`.
    """

    luma: Luma
    index: int
    stamp_ns: int
    epoch_ms: int
    camera_id: str = "camera0"
    chroma: tuple[Luma, ...] = ()
    memory: Memory = Memory.SYSTEM
    release: Callable[[], None] = _nothing
    origin: str = ""
    """The file this frame came from, where there is one."""
    plane: DevicePlane | None = None
    look: Callable[[], AbstractContextManager[HostPixels]] | None = None
    """Shows the processor the pixels of a frame in device memory, while it is held. See `on_host`."""

    @contextmanager
    def on_host(self) -> Iterator[Frame]:
        """The frame as one in system memory, while this is held: itself, or its pixels mapped or brought over.

        Raises `SurfaceError` where that is refused.
        """
        if self.plane is None or self.look is None:
            yield self
            return
        with self.look() as (luma, chroma):
            yield replace(self, luma=luma, chroma=chroma, plane=None, look=None, memory=Memory.SYSTEM)

    @property
    def width(self) -> int:
        """Pixels per row."""
        return int(self.luma.shape[1]) if self.plane is None else self.plane.width

    @property
    def height(self) -> int:
        """Number of rows."""
        return int(self.luma.shape[0]) if self.plane is None else self.plane.height

    def __enter__(self) -> Frame:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A plate found in a frame: `quad` (4, 2) float32 in frame pixels, and how sure the detector is."""

    quad: Floats
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class SmallLuma:
    """A small copy of a frame's upper part, to see how the camera moved; `shrink` is how many times smaller it is."""

    luma: Luma
    shrink: float


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """An upright, light-normalised plate: `image` is (32, 128) uint8 and owns its pixels; size and light are others
    where the reader's card says so.

    `width_px` and `height_px` are the plate's size in the frame; `sharpness` is the variance of the
    Laplacian of the crop divided by the variance of its light (0 is flat or fully blurred); `clipped`
    says that the plate reaches over the border of the frame.
    """

    image: Luma
    detection: Detection
    width_px: float
    height_px: float
    sharpness: float
    clipped: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """One possible text of a plate and its probability."""

    plate: str
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """What the reader makes of one crop.

    `slots` is (L, A + 1) float32: one row a possible character position, columns in the order of the
    reader's alphabet, the last one "no character here"; rows sum to 1. `plate`, `score`, `char_scores` and
    `candidates` (best first, at most 10, the first equals `plate`) follow from it. `plate` may be empty.
    """

    plate: str
    score: float
    char_scores: tuple[float, ...]
    candidates: tuple[Candidate, ...]
    slots: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A small picture of a whole frame, kept for an event: owns its pixels, all planes of one shape (H, W).

    `chroma` is (U, V), or () for a grey picture; `width` and `height` are those of the frame.
    """

    luma: Luma
    chroma: tuple[Luma, ...]
    width: int
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """A plate of one frame with its crop and read: what the tracker is given.

    `patch` is the plate with its surroundings at full resolution, `scene` the whole frame made small (shared
    by all observations of a frame): copies, for the pictures kept with an event.
    """

    detection: Detection
    crop: Crop
    read: Read
    patch: Luma | None = None
    scene: Scene | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """The state of one track after a frame: `read` is fused over all its observations.

    `reads` counts the observations with a text, `agreement` is the share of them that say `read.plate`
    (O=0, I=1). `best` is the observation whose pixels say most; `best_is_new` that it is of this frame.
    `lost` marks the last sighting of a track. Stamps are the media clock in ns, epochs the wall clock in ms.
    """

    track_id: int
    camera_id: str
    read: Read
    reads: int
    agreement: float
    best: Observation
    best_is_new: bool
    current: Observation | None
    first_stamp_ns: int
    last_stamp_ns: int
    epoch_start: int
    epoch_end: int
    lost: bool


@dataclass(frozen=True, slots=True)
class Box:
    """An upright box in frame pixels."""

    xmin: int
    ymin: int
    xmax: int
    ymax: int


@dataclass(frozen=True, slots=True)
class Point:
    """A point in frame pixels."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Images:
    """Pictures kept with an event: file names relative to the store's folder, empty where none is kept."""

    plate: str = ""
    frame: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """The hot-list entry that an event hit.

    `chars_differ` are positions in the event's plate, from 0; one past its end where characters are missing there.
    """

    list: str
    entry: str
    kind: Literal["exact", "equivalent", "distance", "wildcard"]
    chars_differ: tuple[int, ...] = ()
    score: float = 1.0
    """Probability that the plate is the entry."""
    priority: int = 0
    """Higher is more urgent."""
    color: str = ""
    sound: str = ""
    note: str = ""
    list_age_s: int = 0
    stale: bool = False
    """The list is older than `[hotlists] stale_after_h`."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Place and time of a moment, as an event tells them. `epoch_ms`: its wall clock, UTC, where that is known better
    than from the frame; `gps` as in docs/events.md.
    """

    epoch_ms: int | None = None
    clock_source: str = "unset"
    clock_error_ms: float | None = None
    gps: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RegionGuess:
    """A country or state that a plate may come from (`ro`, `us-ca`), its name, and the probability."""

    code: str
    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Event:
    """What other programs hear of (JSON lines, MQTT, webhook): the stable contract of docs/events.md."""

    version: int
    uuid: str
    state: State
    seq: int
    device_id: str
    camera_id: str
    timestamp: str
    clock_source: str
    epoch_start: int
    epoch_end: int
    plate: str
    score: float
    candidates: tuple[Candidate, ...]
    char_scores: tuple[float, ...]
    reads: int
    agreement: float
    box: Box
    coordinates: tuple[Point, ...]
    track_id: int
    gps: dict[str, float] = field(default_factory=dict)
    match: Match | None = None
    """The most urgent hit."""
    also: tuple[str, ...] = ()
    """Names of the other lists that were hit."""
    images: Images = field(default_factory=Images)
    processing_time_ms: dict[str, float] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    clock_error_ms: float | None = None
    """How far the wall clock is off at most; None: not known."""
    region: RegionGuess | UnsetType = UNSET
    """Only where `[formats] regions` is set and one of them is likely at all."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source before its first frame; None where it is not known."""

    uri: str
    live: bool
    total_frames: int | None = None
    duration_s: float | None = None


@dataclass(slots=True)
class SourceCounters:
    """What a source went through; `last_restart` is the reason of the latest restart.

    Of several cameras these are sums, and `cameras` holds the counters of each by its id; otherwise it is empty.
    """

    frames: int = 0
    dropped: int = 0
    restarts: int = 0
    caps_changes: int = 0
    unreadable: int = 0
    last_restart: str = ""
    mapping_ns: int = 0
    """Time spent on mapping decoded pictures into memory, all frames together; not known of several live cameras."""
    lost: str = ""
    """Why this camera, one of several, is gone for good."""
    cameras: dict[str, SourceCounters] = field(default_factory=dict)


Tensors: TypeAlias = dict[str, NDArray[Any]]
