"""What a drive on the GPU does without, tried on the processor: the camera's motion, and pictures of most frames.

    python docs/gpu_without.py

The sample drive, as it is and shaken as if the car drove over bumps, is read with the camera's motion known and with it
left out; then the frames are counted that `stages.album` would have looked at.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_alpr.app import Models, make_pipeline, open_models
from edge_alpr.camera import open_source
from edge_alpr.config import Config, SourceConfig
from edge_alpr.pipeline import Lane, Pipeline
from edge_alpr.stages.album import Album
from edge_alpr.types import Floats, Frame, Luma

SAMPLE = SourceConfig(uri="sample://drive")
BUMPS = ((0, 30), (25, 30), (60, 20))
"""Pixels of a bump, and the frames from one to the next."""
_LASTS = 12


def shaken(luma: Luma, frame: int, size: int, every: int) -> Luma:
    """The picture as a bump moves it: a swing that dies out."""
    since = frame % every
    if not size or since >= _LASTS:
        return luma
    swing = size * np.exp(-since / 3)
    return np.roll(luma, (round(swing * np.sin(1.5 * since)), round(swing * np.cos(1.2 * since) / 2)), (0, 1))


def drive(models: Models, bump: tuple[int, int], known: bool) -> tuple[int, set[str]]:
    """How many tracks with a text there were, and the plates that were confirmed."""
    pipeline = make_pipeline(Config(), models)
    tracks, plates = 0, set()
    with open_source(SAMPLE) as source:
        for frame in source:
            moved = replace(frame, luma=shaken(frame.luma, frame.index, *bump))
            plates |= _confirmed(pipeline, moved, known)
            tracks += sum(1 for sighting in pipeline.ended if sighting.reads)
    plates |= {told.event.plate for told in pipeline.finish() if told.event.state == "confirmed"}
    return tracks + sum(1 for sighting in pipeline.ended if sighting.reads), plates


def _confirmed(pipeline: Pipeline, frame: Frame, known: bool) -> set[str]:
    found = pipeline.find(frame)
    if not known:
        found.small = None  # as of a frame on the GPU
        found.lane = _Still(found.lane.motion, found.lane.track, found.lane.spare)
    return {told.event.plate for told in pipeline.read(found) if told.event.state == "confirmed"}


class _Still(Lane):
    def moved(self) -> Floats | None:
        return None


def main() -> None:
    """Print both."""
    models = open_models(Config())
    for bump in BUMPS:
        for known in (True, False):
            tracks, plates = drive(models, bump, known)
            motion = "known" if known else "left out"
            print(f"bumps of {bump[0]} px each {bump[1]} frames, motion {motion}: {tracks} tracks, {len(plates)} told")
    album, frames, looked = Album(), 0, 0
    with open_source(SAMPLE) as source:
        for frame in source:
            looked += album.wants(models.detect(frame.luma), frame.stamp_ns)
            frames += 1
    print(f"looked at for pictures: {looked} of {frames} frames")


if __name__ == "__main__":
    main()
