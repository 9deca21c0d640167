"""The order of the stages, from a lent frame to stored events. The only file that knows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Protocol

from msgspec import UNSET, UnsetType

from edge_alpr.config import EventConfig
from edge_alpr.errors import GpuError, ModelError, SurfaceError, SurfaceLostError
from edge_alpr.evidence import UNREAD
from edge_alpr.geometry import pixel_box
from edge_alpr.gpuhealth import GpuHealth
from edge_alpr.onplane import Looked
from edge_alpr.spans import Listener
from edge_alpr.stages.album import Album
from edge_alpr.stages.event import Decision
from edge_alpr.stages.keep import patch, small_scene
from edge_alpr.timings import Timings
from edge_alpr.types import (
    Candidate,
    Crop,
    Detection,
    DevicePlane,
    Event,
    Floats,
    Frame,
    Luma,
    Observation,
    Point,
    Read,
    RegionGuess,
    Scene,
    Sighting,
    SmallLuma,
    Whereabouts,
)

MOST_BLIND = 5
"""Frames in a row that neither GPU nor processor could look at: then the drive ends with an error."""


class Motion(Protocol):
    """Camera motion between frames: takes a small copy of the luma while the frame is lent, and thinks later."""

    def look(self, luma: Luma) -> SmallLuma:
        """A copy of what is needed of a frame; keeps nothing."""

    def follow(self, small: SmallLuma) -> None:
        """Take the copy of the next frame."""

    def shift(self) -> Floats | None:
        """The (2, 3) affine from the frame before the newest to it, or None where it can't tell."""


class Tracking(Protocol):
    """Observations of one frame in, the state of their tracks out."""

    def update(
        self,
        observations: Sequence[Observation],
        frame_stamp_ns: int,
        epoch_ms: int,
        camera_id: str,
        motion: Floats | None,
    ) -> list[Sighting]:
        """Take one frame's observations."""

    def flush(self) -> list[Sighting]:
        """End all tracks."""


class Sparing(Protocol):
    """What a tracker must do as well where not every frame is searched and not every plate is read."""

    @property
    def following(self) -> bool:
        """Whether anything is followed, which a moving camera would move."""

    def coast(self, frame_stamp_ns: int, motion: Floats | None) -> None:
        """A frame that was not searched."""

    def by_worth(
        self, detections: Sequence[Detection], frame_stamp_ns: int, motion: Floats | None
    ) -> list[int]:
        """Indices of the detections, the one most worth reading first."""


class Deciding(Protocol):
    """Sightings in, what to tell out."""

    withheld: int
    """Vehicles not told because their texts fit no format that was asked for."""

    def update(self, sightings: Sequence[Sighting]) -> list[Decision]:
        """Take one frame's sightings."""

    def flush(self) -> list[Decision]:
        """Close what is open."""

    def configure(self, config: EventConfig) -> None:
        """Other thresholds from the next frame on."""


class Looking(Protocol):
    """Finds and reads plates where the frame lies, on the GPU; `health` says whether it still does."""

    health: GpuHealth

    @property
    def identities(self) -> dict[str, str]:
        """The networks that run there; empty before the first frame."""

    def start(self, plane: DevicePlane, most: int | None) -> Looked:
        """Find the plates and begin to read the `most` best scored. Raises `GpuError` and `ModelError`."""


@dataclass(slots=True)
class Lane:
    """What each camera has of its own: its motion and its tracks."""

    motion: Motion
    track: Tracking
    spare: Sparing | None = None
    """Without, every frame is searched and every plate read, whatever the effort."""
    coasted: int = 0
    """Frames of this camera since one was searched."""
    album: Album = field(default_factory=Album)
    """Chooses the pictures of frames on the GPU."""

    def moved(self) -> Floats | None:
        """How the camera moved since its frame before; not worth knowing where nothing is followed."""
        return self.motion.shift() if self.spare is None or self.spare.following else None


@dataclass(frozen=True)
class Stages:
    """The stages in their order; the first three are plain callables. All but the lanes serve all cameras."""

    detect: Callable[[Luma], list[Detection]]
    cut: Callable[[Luma, Detection], Crop]
    read: Callable[[Sequence[Crop]], list[Read]]
    lane: Callable[[], Lane]
    """Makes the lane of a camera, at its first frame."""
    decide: Deciding
    guess: Callable[[Read], RegionGuess | UnsetType] = lambda read: UNSET
    """Where a plate may come from."""
    on_gpu: Looking | None = None
    """For frames on the GPU, in place of the first three; what fails there is done by those."""
    locate: Callable[[int], Whereabouts] = lambda stamp_ns: Whereabouts()
    """Place and time of a moment on the media clock."""


@dataclass(frozen=True)
class Nets:
    """The networks for frames on the host, and who they are: what one of them found is cut and read by its own."""

    detect: Callable[[Luma], list[Detection]]
    cut: Callable[[Luma, Detection], Crop]
    read: Callable[[Sequence[Crop]], list[Read]]
    models: dict[str, str]
    """Their identities by kind."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done: plates are looked for in every `interval`-th frame of a camera, and at most `reads` of a frame
    are read.
    """

    interval: int = 1
    reads: int | None = None


@dataclass(frozen=True)
class Identity:
    """What every event says of its origin."""

    device_id: str
    models: dict[str, str]


@dataclass(slots=True)
class Counts:
    """What went through so far."""

    frames: int = 0
    plates: int = 0
    reads: int = 0
    coasted: int = 0
    """Frames that were not searched: plates were only followed."""
    unread: int = 0
    """Plates seen in a frame and left unread there."""
    pictured: int = 0
    """Frames on the GPU whose pixels came to the host."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event to be stored, with the observation whose pictures go with it."""

    event: Event
    best: Observation


@dataclass(slots=True, eq=False)
class Found:
    """What the first half of the way makes of a frame, for the second; it holds nothing of the frame's own memory."""

    stamp_ns: int
    epoch_ms: int
    camera_id: str
    lane: Lane
    small: SmallLuma | None
    """None for a frame on the GPU: how the camera moved is not known there."""
    stamps: list[int]
    """When it was in hand, looked at, searched and cut, by `time.perf_counter_ns`."""
    searched: bool = False
    """Whether plates were looked for in it."""
    detections: list[Detection] = field(default_factory=list)
    crops: list[Crop] = field(default_factory=list)
    patches: list[Luma | None] = field(default_factory=list)
    scene: Scene | None = None
    looked: Looked | None = None
    """Where the GPU reads: it has crops and reads."""
    nets: Nets | None = None
    """What it was found by, where the host looked."""
    sample: Luma | None = None
    """A copy of the whole frame, where one was wanted."""

    @property
    def begun_ns(self) -> int:
        """When the frame was in hand."""
        return self.stamps[0]


class Pipeline:
    """Runs the stages over frames of one or more cameras, one at a time.

    `find` and `read` may run on two threads, `read` of a frame beside `find` of the next: they share nothing that
    changes but a lane's own, and what is set between two frames takes effect with the next one found.
    """

    def __init__(self, stages: Stages, identity: Identity, listen: Listener | None = None) -> None:
        """`listen` hears of motion, detect, and, where there are plates, rectify and read, then of track."""
        self._stages = stages
        self._device_id = identity.device_id
        self._nets = Nets(stages.detect, stages.cut, stages.read, identity.models)
        self._said_by = identity.models
        """Who read the newest frame on the host."""
        self._looked_by: dict[str, str] | None = None
        """Who read the newest frame on the GPU."""
        self._listen = listen
        self.timings = Timings()
        self.counts = Counts()
        self.effort = Effort()
        """May be changed between two frames."""
        self._lanes: dict[str, Lane] = {}
        self._blind = 0
        """Frames in a row that nobody could look at."""
        self.ended: list[Sighting] = []
        """The tracks that ended with the newest frame, or at the end of everything."""
        self.seen: list[Sighting] = []
        """All tracks after the newest frame that was searched."""
        self.scene_wanted: Callable[[str], bool] = lambda camera_id: False
        """Whether a frame of this camera is to be kept small even without a plate in it."""
        self.sample_wanted: Callable[[], bool] = lambda: False
        """Whether the frame at hand is to be copied whole, for somebody who looks at it later."""
        self.observed: list[Observation] = []
        """What was seen in the newest frame that was searched."""

    @property
    def withheld(self) -> int:
        """Vehicles not told because their texts fit no format that was asked for."""
        return self._stages.decide.withheld

    @property
    def models(self) -> dict[str, str]:
        """The identities of the networks that read the newest frame."""
        on_gpu = self._stages.on_gpu
        if on_gpu is None or on_gpu.health.lost:
            return self._said_by
        return on_gpu.identities if self._looked_by is None else self._looked_by

    def use(self, nets: Nets) -> None:
        """Other networks for frames on the host, from the next one found on; what was found is read by its own."""
        self._nets = nets

    def configure(self, config: EventConfig) -> None:
        """Other thresholds for what is told, from the next frame read on."""
        self._stages.decide.configure(config)

    def process(self, frame: Frame) -> list[Told]:
        """Take one frame; it is released as soon as its crops are cut."""
        return self.read(self.find(frame))

    def find(self, frame: Frame) -> Found:
        """The first half of the way: all that needs the frame, which is released. May run one frame ahead of `read`."""
        lane = self._lanes.get(frame.camera_id) or self._lanes.setdefault(frame.camera_id, self._stages.lane())
        start = time.perf_counter_ns()
        with frame:
            small = lane.motion.look(frame.luma) if frame.plane is None else None
            looked = time.perf_counter_ns()
            found = Found(frame.stamp_ns, frame.epoch_ms, frame.camera_id, lane, small, [start, looked])
            if self._is_due(lane):
                self._search(frame, found)
                found.sample = self._sampled(frame) if found.searched and self.sample_wanted() else None
        return found

    def _sampled(self, frame: Frame) -> Luma | None:
        """A copy of the whole frame; None where its pixels cannot be had."""
        try:
            with frame.on_host() as seen:
                return seen.luma.copy() if seen.plane is None else None
        except SurfaceError:
            return None

    def _is_due(self, lane: Lane) -> bool:
        if lane.spare is None or lane.coasted + 1 >= self.effort.interval:
            lane.coasted = 0
            return True
        lane.coasted += 1
        return False

    def _search(self, frame: Frame, found: Found) -> None:
        found.searched = True
        if frame.plane is not None and self._look(frame, frame.plane, found):
            return
        if frame.plane is not None and frame.look is None:  # without pixels to search it would be an empty street
            raise SurfaceError("a frame on the GPU cannot be brought to the processor; set models.run_on = 'cpu'")
        try:
            with frame.on_host() as seen:
                self._search_on_host(seen, found)
            self._blind = 0
        except SurfaceLostError as error:
            self._pass_over(found, error)

    def _pass_over(self, found: Found, error: SurfaceLostError) -> None:
        """A frame that neither could look at is only followed. Some of them in a row are no street, but the end."""
        self._blind += 1
        if self._blind >= MOST_BLIND:
            raise error
        if self._stages.on_gpu is not None:
            self._stages.on_gpu.health.fault(error)
        found.searched = False

    def _look(self, frame: Frame, plane: DevicePlane, found: Found) -> bool:
        """Have the GPU find and begin to read; False where it did not, and the frame is as it was."""
        on_gpu = self._stages.on_gpu
        if on_gpu is None or on_gpu.health.lost:
            return False
        try:
            looked = on_gpu.start(plane, self.effort.reads)
            searched = time.perf_counter_ns()
            pictures = self._pictures(frame, looked.detections, found)
            looked.consumed()
        except (GpuError, ModelError) as error:
            on_gpu.health.fault(error)
            return False
        found.looked, found.detections = looked, looked.detections
        found.patches, found.scene = pictures
        found.stamps += [searched, time.perf_counter_ns()]
        return True

    def _pictures(
        self, frame: Frame, detections: Sequence[Detection], found: Found
    ) -> tuple[list[Luma | None], Scene | None]:
        """Pictures of the plates that are worth one, while the GPU reads; only then pixels come to the host."""
        none: list[Luma | None] = [None] * len(detections)
        worth = found.lane.album.wants(detections, found.stamp_ns)
        if not worth and not self.scene_wanted(frame.camera_id):
            return none, None
        try:
            with frame.on_host() as seen:
                self.counts.pictured += 1
                if not worth:
                    return none, small_scene(seen)
                return [patch(seen.luma, detection) for detection in detections], small_scene(seen)
        except SurfaceError as error:
            if self._stages.on_gpu is not None:
                self._stages.on_gpu.health.fault(error)
            return none, None

    def _search_on_host(self, frame: Frame, found: Found) -> None:
        nets = found.nets = self._nets
        found.detections = nets.detect(frame.luma)
        found.stamps.append(time.perf_counter_ns())
        found.crops = [nets.cut(frame.luma, d) for d in found.detections]
        found.patches = [patch(frame.luma, d) for d in found.detections]
        if found.detections or self.scene_wanted(frame.camera_id):
            found.scene = small_scene(frame)
        found.stamps.append(time.perf_counter_ns())

    def read(self, found: Found) -> list[Told]:
        """The second half: the texts of what was found, its tracks, and what is to be told. In the order of frames."""
        self.counts.frames += 1
        begun = time.perf_counter_ns()
        if found.small is not None:
            found.lane.motion.follow(found.small)
        if found.searched:
            return self._tell(found, begun)
        if found.lane.spare is not None:
            found.lane.spare.coast(found.stamp_ns, found.lane.moved())
        self.ended = []
        self.counts.coasted += 1
        self.timings.stages["track"].add((time.perf_counter_ns() - begun) / 1e6)
        return []

    def _tell(self, found: Found, begun: int) -> list[Told]:
        lane = found.lane
        crops, reads = self._reads_of(found)
        self._said_by = found.nets.models if found.nets else self._said_by
        self._looked_by = found.looked.identities if found.looked else self._looked_by
        read = time.perf_counter_ns()
        motion = lane.moved()
        moved = time.perf_counter_ns()
        seen = [
            Observation(d, c, r, p, found.scene)
            for d, c, r, p in zip(found.detections, crops, reads, found.patches, strict=True)
        ]
        sightings = lane.track.update(seen, found.stamp_ns, found.epoch_ms, found.camera_id, motion)
        self.observed = seen
        self.seen, self.ended = sightings, [sighting for sighting in sightings if sighting.lost]
        decisions = self._stages.decide.update(sightings)
        self._record(found, (begun, read, moved, time.perf_counter_ns()))
        self.counts.plates += len(seen)
        self.counts.reads += sum(1 for r in reads if r.plate)
        return [self._told(decision) for decision in decisions]

    def _reads_of(self, found: Found) -> tuple[list[Crop], list[Read]]:
        looked, on_gpu = found.looked, self._stages.on_gpu
        if looked is None or on_gpu is None:
            return found.crops, self._read(found)
        try:
            result = looked.result()
        except (GpuError, ModelError) as error:  # the frame is gone, and with it what it said
            on_gpu.health.fault(error)
            result = looked.unread()
        else:
            on_gpu.health.good()
        self.counts.unread += sum(1 for read in result[1] if read is UNREAD)
        return result

    def _read(self, found: Found) -> list[Read]:
        """The reads of a frame's crops, in their order; `UNREAD` for those beyond what is read of one frame."""
        most, crops, lane = self.effort.reads, found.crops, found.lane
        reader = (found.nets or self._nets).read
        if lane.spare is None or most is None or len(crops) <= most:
            return reader(crops)
        first = lane.spare.by_worth([c.detection for c in crops], found.stamp_ns, lane.moved())[:most]
        self.counts.unread += len(crops) - most
        reads = [UNREAD] * len(crops)
        for index, read in zip(first, reader([crops[i] for i in first]), strict=True):
            reads[index] = read
        return reads

    def finish(self) -> list[Told]:
        """The recordings ended: close all tracks and say what is still to be said."""
        self.ended = [sighting for lane in self._lanes.values() for sighting in lane.track.flush()]
        decisions = self._stages.decide.update(self.ended) + self._stages.decide.flush()
        return [self._told(decision) for decision in decisions]

    def _record(self, found: Found, stamps: tuple[int, int, int, int]) -> None:
        """Keep the times of a frame's stages; the listener hears of those that had something to do."""
        (_, looked, searched, cut), (begun, read, moved, end) = found.stamps, stamps
        stages = self.timings.stages
        stages["detect"].add((searched - looked) / 1e6)
        stages["cut"].add((cut - searched) / 1e6)
        stages["read"].add((read - begun) / 1e6)
        stages["track"].add((end - moved) / 1e6)
        if self._listen is None:
            return
        self._listen("motion", found.begun_ns, looked)
        self._listen("detect", looked, searched)
        if found.detections:
            self._listen("rectify", searched, cut)
            self._listen("read", begun, read)
        self._listen("motion", read, moved)
        self._listen("track", moved, end)

    def _told(self, decision: Decision) -> Told:
        sighting = decision.sighting
        quad = sighting.best.detection.quad
        scene = sighting.best.scene
        size = (scene.width, scene.height) if scene else (1 << 16, 1 << 16)
        here = self._stages.locate(sighting.last_stamp_ns)
        epoch_start, epoch_end = epochs(sighting, here)
        event = Event(
            version=1,
            uuid=decision.uuid,
            state=decision.state,
            seq=decision.seq,
            device_id=self._device_id,
            camera_id=sighting.camera_id,
            timestamp=iso_utc(epoch_end),
            clock_source=here.clock_source,
            epoch_start=epoch_start,
            epoch_end=epoch_end,
            plate=sighting.read.plate,
            score=clean(sighting.read.score),
            candidates=tuple(Candidate(c.plate, clean(c.score)) for c in sighting.read.candidates),
            char_scores=tuple(clean(s) for s in sighting.read.char_scores),
            reads=sighting.reads,
            agreement=clean(sighting.agreement),
            box=pixel_box(quad, *size),
            coordinates=tuple(Point(round(float(x), 1), round(float(y), 1)) for x, y in quad),
            track_id=sighting.track_id,
            match=next(iter(decision.matches), None),
            also=tuple(match.list for match in decision.matches[1:]),
            gps=here.gps,
            processing_time_ms=self.timings.latest(),
            models=self.models,
            region=cleaned(self._stages.guess(sighting.read)),
            clock_error_ms=here.clock_error_ms,
        )
        return Told(event, sighting.best)


def epochs(sighting: Sighting, here: Whereabouts) -> tuple[int, int]:
    """When it was seen first and last, by the best clock there is now: one that was set meanwhile bends no passage."""
    if here.epoch_ms is None:
        return sighting.epoch_start, sighting.epoch_end
    lasted_ns = sighting.last_stamp_ns - sighting.first_stamp_ns
    return here.epoch_ms - lasted_ns // 1_000_000, here.epoch_ms


def clean(score: float) -> float:
    """A score as the contract wants it: 0 to 1, four digits (rounding errors of sums cut off)."""
    return round(min(max(score, 0.0), 1.0), 4)


def cleaned(guess: RegionGuess | UnsetType) -> RegionGuess | UnsetType:
    """A guess with its score as the contract wants it."""
    return guess if isinstance(guess, UnsetType) else replace(guess, score=clean(guess.score))


def iso_utc(epoch_ms: int) -> str:
    """ISO 8601, UTC, with milliseconds."""
    moment = datetime.fromtimestamp(epoch_ms / 1000, tz=timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
