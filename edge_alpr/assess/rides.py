"""Rides replayed frame by frame through the whole pipeline, listening to its tracks and to its events."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import groupby

from edge_alpr.app import Models, make_pipeline
from edge_alpr.camera import wall_ms
from edge_alpr.camera.pictures import load_luma
from edge_alpr.config import Config
from edge_alpr.errors import ImageError
from edge_alpr.evaluate import Confirmed, LabelledImage, RideReport, Sight, score_events, sights, tracked
from edge_alpr.pipeline import Pipeline, Told, Tracking
from edge_alpr.types import Floats, Frame, Observation, Sighting

_log = logging.getLogger(__name__)


def replay(
    images: Sequence[LabelledImage], known: Sequence[LabelledImage], config: Config, models: Models
) -> RideReport:
    """Play the frames of each ride through a fresh pipeline; score its confirmed events, and its tracks.

    `known` are all labelled frames of the rides: a confirmed text is wrong where none of them has it.
    """
    frames = sorted((i for i in images if i.ride), key=lambda i: (i.ride, i.second))
    events: list[Confirmed] = []
    seen: list[Sight] = []
    for ride, group in groupby(frames, key=lambda i: i.ride):
        played = _Ride(ride, config, models)
        played.play(list(group))
        events += played.confirmed.values()
        seen += played.seen
    return score_events(events, images, config.event.cooldown_s, known, seen)


class _Listening:
    """A tracker that keeps its latest sightings for whoever asks."""

    def __init__(self, tracker: Tracking) -> None:
        self._tracker = tracker
        self.latest: list[Sighting] = []

    def update(
        self,
        observations: Sequence[Observation],
        frame_stamp_ns: int,
        epoch_ms: int,
        camera_id: str,
        motion: Floats | None,
    ) -> list[Sighting]:
        self.latest = self._tracker.update(observations, frame_stamp_ns, epoch_ms, camera_id, motion)
        return self.latest

    def flush(self) -> list[Sighting]:
        return self._tracker.flush()


class _Ride:
    """One ride going by. `confirmed` holds the events that were not taken back, by uuid."""

    def __init__(self, ride: str, config: Config, models: Models) -> None:
        self._ride = ride
        self._camera_id = config.source.camera_id
        self._tracks: _Listening | None = None
        self._pipeline: Pipeline = make_pipeline(config, models, wrap=self._listen)
        self.confirmed: dict[str, Confirmed] = {}
        self.seen: list[Sight] = []

    def play(self, images: Sequence[LabelledImage]) -> None:
        second = images[0].second
        for image, frame in _frames(images, self._camera_id):
            second = image.second
            self._hear(self._pipeline.process(frame), second)
            self.seen += sights(image, tracked(self._tracks.latest if self._tracks else ()))
        self._hear(self._pipeline.finish(), second)

    def _listen(self, tracker: Tracking) -> Tracking:
        self._tracks = _Listening(tracker)
        return self._tracks

    def _hear(self, told: Sequence[Told], second: float) -> None:
        for event in (t.event for t in told):
            if event.state == "confirmed":
                self.confirmed[event.uuid] = Confirmed(event.plate, self._ride, second, event.score)
            elif event.state == "withdrawn":
                self.confirmed.pop(event.uuid, None)


def _frames(images: Sequence[LabelledImage], camera_id: str) -> Iterator[tuple[LabelledImage, Frame]]:
    """The frames with their media time as labelled; one that cannot be read is logged and left out."""
    opened_ms, first_s = wall_ms(), images[0].second
    for index, image in enumerate(images):
        try:
            luma = load_luma(image.path)
        except ImageError as error:
            _log.info("%s", error)
            continue
        epoch_ms = opened_ms + round((image.second - first_s) * 1e3)
        yield image, Frame(luma, index, round(image.second * 1e9), epoch_ms, camera_id, origin=image.name)
