"""Following plates from frame to frame, by their motion and by their text.

Both kinds of evidence are log likelihood ratios (nats: one plate against two), so they add up. From one frame
to the next at 30 fps the motion tells; at a frame a second plates jump far and only the text does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from rapidfuzz.distance import LCSseq

from edge_alpr.config import TrackConfig
from edge_alpr.evidence import UNREAD, Interpret, canonical, read_from_slots
from edge_alpr.fusion import Alignment, Fusion, quality, same_text
from edge_alpr.geometry import Rect, box_iou, resized
from edge_alpr.path import Path, box_state, grown_box
from edge_alpr.types import Detection, Floats, Luma, Observation, Read, Sighting, SmallLuma

SAME_TEXT = 9.0
"""Text evidence that joins a plate to a track wherever it is: three characters more alike than different."""
GARBAGE = -3.9
"""Text evidence is never worse than the chance of a read that is all wrong, 2 %, unless the next
read says the same: at 30 fps a plate is where it was, whatever one frame makes of it."""
JOIN = 1.0
"""Least sum of the evidence of motion and text for an association."""

_TEXTS = 32
"""Different texts counted for one track; the rarest goes when there are more."""
_FEW_READS = 2
"""A track with fewer reads is as good as new."""
_LEAST_DOUBT = 0.02
"""However sure a text is, it is read again now and then: another vehicle may have taken the place."""
_PICTURES = 3
"""Best observations kept for one track: of its text, and of others that may yet turn out to be it."""


@dataclass(frozen=True, slots=True)
class _When:
    """A moment on the media clock (ns) and on the wall clock (ms)."""

    stamp_ns: int
    epoch_ms: int


class _Track:
    """One plate: its path, its fused text, and its best picture for each of its commonest texts."""

    def __init__(
        self, track_id: int, camera_id: str, observation: Observation, when: _When, interpret: Interpret
    ) -> None:
        self.track_id = track_id
        self.camera_id = camera_id
        self.path = Path(box_state(observation.detection.quad))
        self.first = self.last = when
        self.read = observation.read
        self._fusion = Fusion()
        self._interpret = interpret
        self._dissent: Floats | None = None
        self._reads = 0
        self._waited, self._waited_s = 0, 0.0
        """Times it was seen, but not read, since it was read last, and how long that took."""
        self._counts: Counter[str] = Counter()
        self._best: dict[str, tuple[float, Observation]] = {}
        self._take(observation, since_s=0.0)

    def aligned(self, read: Read) -> Alignment | None:
        """The track's text beside that of a read; None where either has none."""
        return Alignment(self.read.slots, read.slots) if self.read.plate and read.plate else None

    def text_evidence(self, observation: Observation, alignment: Alignment | None) -> float:
        """Log likelihood ratio of the texts, laid beside each other; 0 where either has none."""
        if alignment is None:
            return 0.0
        odds = alignment.odds
        if odds < 0 and observation.crop.clipped:
            return 0.0
        if odds < GARBAGE and not self._dissents_again(observation.read):
            return GARBAGE
        return odds

    def follow(self, observation: Observation, when: _When, alignment: Alignment | None) -> None:
        """Take the plate's observation in a later frame, its text laid beside the track's."""
        since_s = (when.stamp_ns - self.last.stamp_ns) / 1e9
        self.path.correct(box_state(observation.detection.quad))
        self.last = when
        self._take(observation, since_s, alignment)

    @property
    def worth_reading(self) -> float:
        """How much a read of this plate is worth: the doubt of its text, times how often it waited its turn."""
        doubt = 1.0 if self._reads < _FEW_READS else max(1.0 - self.read.score, _LEAST_DOUBT)
        return doubt * (1 + self._waited)

    def sighting(self, current: Observation | None, lost: bool = False) -> Sighting:
        text = canonical(self.read.plate)
        best = self._picture_of(text)
        return Sighting(
            track_id=self.track_id,
            camera_id=self.camera_id,
            read=self.read,
            reads=self._reads,
            agreement=self._counts[text] / self._reads if text else 0.0,
            best=best,
            best_is_new=best is current,
            current=current,
            first_stamp_ns=self.first.stamp_ns,
            last_stamp_ns=self.last.stamp_ns,
            epoch_start=self.first.epoch_ms,
            epoch_end=self.last.epoch_ms,
            lost=lost,
        )

    def _picture_of(self, text: str) -> Observation:
        """The best observation with this text, or of all where that one has no picture and another has."""
        own, best = self._best.get(text), max(self._best.values(), key=_rank)
        return best[1] if own is None or _rank(best)[0] > _rank(own)[0] else own[1]

    def _dissents_again(self, read: Read) -> bool:
        """Two wrong reads in a row are never alike: then another vehicle has taken the first one's place."""
        return self._dissent is not None and same_text(self._dissent, read.slots) >= SAME_TEXT

    def _take(self, observation: Observation, since_s: float, alignment: Alignment | None = None) -> None:
        read = observation.read
        since_s = self._wait(since_s, read)
        text, worth = canonical(read.plate), quality(observation.crop, read)
        if text:
            self._reads += 1
            self._counts[text] += 1
            if alignment is not None and alignment.odds < GARBAGE:
                self._dissent = None if observation.crop.clipped else read.slots
            else:
                self._dissent = None
                self._fusion.add(read.slots, worth, since_s, alignment)
                self.read = self._fusion.read(self._interpret)
        self._keep(text, worth, observation)

    def _wait(self, since_s: float, read: Read) -> float:
        """Seconds since this plate was last given to the reader."""
        since_s += self._waited_s
        self._waited, self._waited_s = (self._waited + 1, since_s) if read is UNREAD else (0, 0.0)
        return since_s

    def _keep(self, text: str, worth: float, observation: Observation) -> None:
        kept = (worth, observation)
        if text not in self._best or _rank(kept) > _rank(self._best[text]):
            self._best[text] = kept
        if len(self._counts) > _TEXTS:
            del self._counts[min(self._counts, key=self._counts.__getitem__)]
        if len(self._best) > _PICTURES:
            own = canonical(self.read.plate)
            del self._best[min((t for t in self._best if t != own), key=lambda t: _rank(self._best[t]))]


def _rank(kept: tuple[float, Observation]) -> tuple[bool, float]:
    """A picture is worth more than none: not every frame on the GPU has one."""
    return kept[1].patch is not None, kept[0]


class _Match(NamedTuple):
    """An observation, by its place in the frame's list, that may be of a track, and the evidence for it in nats."""

    odds: float
    place: int
    track: _Track
    alignment: Alignment | None


class Tracker:
    """Turns the observations of one camera's frames into sightings of tracks. Not thread-safe.

    Association is greedy, best pair first: a plate's own track stands out by several nats in its text or in
    its place, and there are a handful of plates, so an optimal assignment would only differ where the
    evidence is even anyway.
    """

    def __init__(self, config: TrackConfig, interpret: Interpret = read_from_slots) -> None:
        self._config = config
        self._interpret = interpret
        self._tracks: list[_Track] = []
        self._next_id = 1
        self._stamp_ns: int | None = None
        self._blind_ns = 0
        """How long nothing was looked for, since it last was."""
        self.evicted = 0
        """Tracks that ended early because there were more than `max_tracks`."""

    def update(
        self,
        observations: Sequence[Observation],
        frame_stamp_ns: int,
        epoch_ms: int,
        camera_id: str,
        motion: Floats | None = None,
    ) -> list[Sighting]:
        """The tracks that ended before this frame, then one sighting for each observation, in their order.

        `motion` (2, 3) maps pixels of the previous frame to this one; None: the camera stood still. A stamp
        that goes back is a new recording: all tracks end.
        """
        when = _When(frame_stamp_ns, epoch_ms)
        ended = self._end_old(frame_stamp_ns)
        self._blind_ns = 0
        self._predict(frame_stamp_ns, motion)
        matches = self._associate(observations)
        seen = []
        for index, observation in enumerate(observations):
            if index in matches:
                track = matches[index].track
                track.follow(observation, when, matches[index].alignment)
            else:
                track = self._begin(observation, when, camera_id)
            seen.append(track.sighting(observation))
        return ended + self._evict() + seen

    @property
    def following(self) -> bool:
        """Whether there is a track to move on."""
        return bool(self._tracks)

    def coast(self, frame_stamp_ns: int, motion: Floats | None) -> None:
        """A frame in which nothing was looked for: tracks move on as foretold, and it is no miss for any."""
        if self._stamp_ns is None or frame_stamp_ns <= self._stamp_ns:
            return
        self._blind_ns += frame_stamp_ns - self._stamp_ns
        self._predict(frame_stamp_ns, motion)

    def by_worth(
        self, detections: Sequence[Detection], frame_stamp_ns: int, motion: Floats | None
    ) -> list[int]:
        """Indices of a frame's detections, those first whose reads are worth most: new plates, then unsure ones."""
        dt_s = self._since_s(frame_stamp_ns)
        known = [(grown_box(track.path.ahead(dt_s, motion)), track.worth_reading) for track in self._tracks]
        worths = [self._worth(grown_box(box_state(detection.quad)), known) for detection in detections]
        return sorted(range(len(detections)), key=lambda index: -worths[index])

    def _worth(self, box: Rect, known: Sequence[tuple[Rect, float]]) -> float:
        overlap, worth = max(((box_iou(place, box), worth) for place, worth in known), default=(0.0, 0.0))
        return worth if overlap >= self._config.min_overlap else math.inf

    def _since_s(self, stamp_ns: int) -> float:
        return 0.0 if self._stamp_ns is None else max((stamp_ns - self._stamp_ns) / 1e9, 0.0)

    def _predict(self, stamp_ns: int, motion: Floats | None) -> None:
        dt_s = self._since_s(stamp_ns)
        self._stamp_ns = stamp_ns
        for track in self._tracks:
            track.path.predict(dt_s, motion)

    def flush(self) -> list[Sighting]:
        """The end of the stream: the last sighting of every track."""
        ended, self._tracks = self._tracks, []
        return [track.sighting(None, lost=True) for track in ended]

    def _begin(self, observation: Observation, when: _When, camera_id: str) -> _Track:
        track = _Track(self._next_id, camera_id, observation, when, self._interpret)
        self._next_id += 1
        self._tracks.append(track)
        return track

    def _end_old(self, stamp_ns: int) -> list[Sighting]:
        if self._stamp_ns is not None and stamp_ns < self._stamp_ns:
            return self.flush()
        oldest_ns = stamp_ns - self._blind_ns - self._config.max_gap_s * 1e9
        return self._end([track for track in self._tracks if track.last.stamp_ns < oldest_ns])

    def _evict(self) -> list[Sighting]:
        excess = len(self._tracks) - self._config.max_tracks
        if excess <= 0:
            return []
        self.evicted += excess
        return self._end(sorted(self._tracks, key=lambda track: track.last.stamp_ns)[:excess])

    def _end(self, tracks: list[_Track]) -> list[Sighting]:
        self._tracks = [track for track in self._tracks if track not in tracks]
        return [track.sighting(None, lost=True) for track in tracks]

    def _associate(self, observations: Sequence[Observation]) -> dict[int, _Match]:
        """The track of each observation that has one, by its index."""
        matches: dict[int, _Match] = {}
        taken: set[int] = set()
        for match in sorted(self._matches(observations), key=lambda match: -match.odds):
            if match.place not in matches and match.track.track_id not in taken:
                matches[match.place] = match
                taken.add(match.track.track_id)
        return matches

    def _matches(self, observations: Sequence[Observation]) -> Iterator[_Match]:
        """Every association that the evidence allows, with the sum of it."""
        known = [(track, grown_box(track.path.state), canonical(track.read.plate)) for track in self._tracks]
        for index, observation in enumerate(observations):
            state = box_state(observation.detection.quad)
            box, text = grown_box(state), canonical(observation.read.plate)
            for track, place, name in known:
                near = box_iou(place, box) >= self._config.min_overlap
                if not near and LCSseq.normalized_similarity(name, text) <= 0.5:
                    continue  # saves the alignment: so little in common never reaches SAME_TEXT
                alignment = track.aligned(observation.read)
                odds = track.text_evidence(observation, alignment)
                total = odds + track.path.evidence(state)
                if total >= JOIN and (near or odds >= SAME_TEXT):
                    yield _Match(total, index, track, alignment)


_SMALL_WIDTH = 320
_POINTS = 80
_FEWEST = 12


class CameraMotion:
    """How the picture moved since the previous frame because the camera did (bumps, turns); keeps no frame.

    Works on a copy 320 pixels wide, on its upper part: below is the road, which streams past, and the bonnet,
    which stands still.
    """

    def __init__(self) -> None:
        self._before: SmallLuma | None = None
        self._now: SmallLuma | None = None
        self._found: Floats | None = None

    @staticmethod
    def look(luma: Luma) -> SmallLuma:
        """The small copy of a frame, which may go afterwards."""
        height, width = luma.shape
        shrink = max(1.0, width / _SMALL_WIDTH)
        size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
        small = resized(luma, size)[: size[1] * 3 // 4]
        return SmallLuma(small.copy() if np.shares_memory(small, luma) else small, shrink)

    def follow(self, small: SmallLuma) -> None:
        """Take the small copy of the next frame."""
        self._before, self._now, self._found = self._now, small, None

    def shift(self) -> Floats:
        """The (2, 3) float32 map from the previous frame's pixels to the newest's; identity where it can't tell."""
        if self._found is None:
            self._found = self._shift()
        return self._found

    def _shift(self) -> Floats:
        before, now = self._before, self._now
        found = _flow(before.luma, now.luma) if before and now else None
        if found is None or now is None:
            return np.eye(2, 3, dtype=np.float32)
        found[:, 2] *= now.shrink
        return found


def _flow(before: Luma, now: Luma) -> Floats | None:
    if before.shape != now.shape or min(now.shape) < 16:
        return None
    points = cv2.goodFeaturesToTrack(before, _POINTS, 0.02, 8)
    if points is None or len(points) < _FEWEST:
        return None
    guess = np.zeros_like(points)
    moved, status, _ = cv2.calcOpticalFlowPyrLK(before, now, points, guess, winSize=(13, 13), maxLevel=3)
    good = status.ravel() == 1
    if int(good.sum()) < _FEWEST:
        return None
    matrix, inliers = cv2.estimateAffinePartial2D(points[good], moved[good], ransacReprojThreshold=1.0)
    if matrix is None or int(inliers.sum()) < max(_FEWEST, len(points) // 2):
        return None
    return np.asarray(matrix, np.float32)
