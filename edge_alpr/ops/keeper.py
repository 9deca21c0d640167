"""Keeping the hard examples of a drive, with the owner's leave. What fails is counted and logged, never raised."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np

from edge_alpr.config import Config
from edge_alpr.errors import EdgeAlprError, LabelError
from edge_alpr.evidence import canonical
from edge_alpr.ops.background import Background
from edge_alpr.ops.examples import Example, examples_of
from edge_alpr.ops.hard import RANKS, Ending, Reason, Thresholds, hardness, why_hard
from edge_alpr.pipeline import Told, clean
from edge_alpr.sinks.lookup import find_event
from edge_alpr.sinks.sealing import Key, open_or_make_key
from edge_alpr.sinks.vault import Vault
from edge_alpr.stages.keep import patch_quad
from edge_alpr.types import Candidate, Event, Floats, Luma, Observation, Sighting

_EVENTS = 64
"""Confirmed events whose picture is remembered."""
_ANY_SIZE = (1 << 16, 1 << 16)
"""Of a frame whose size is not known."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Picture:
    """What is needed of a confirmed event in case it is taken back or corrected."""

    event: Event
    patch: Luma
    quad: Floats


class Keeper:
    """Keeps hard examples while the configuration allows it; else it only lets those kept before expire."""

    def __init__(self, config: Config, models: dict[str, str], background: Background | None = None) -> None:
        """`background` writes what `hear` and `end` keep; without it they only let the driver's corrections in."""
        self._background = background
        self._config = config
        self._models = models
        self._limits = Thresholds(
            config.event.possible_score, config.event.confirm_score, config.learning.low_agreement
        )
        self._recent: OrderedDict[str, _Picture] = OrderedDict()
        self.files = examples_of(config)
        try:
            self.files.tidy()
        except OSError as error:
            _log.warning("hard examples: %s cannot be tidied: %s", self.files.folder, error.strerror)
        self._key = self._open_key() if config.learning.keep_hard_examples else None
        self.on = config.learning.keep_hard_examples

    def exchange(self, models: dict[str, str]) -> None:
        """Other networks read from now on."""
        self._models = models

    def hear(self, told: Told) -> None:
        """Remember the picture of what is confirmed; keep it if that is taken back."""
        event, best = told.event, told.best
        if not self.on:
            return
        if event.state == "confirmed" and best.patch is not None:
            self._recent[event.uuid] = _Picture(event, best.patch, _quad_of(best))
            while len(self._recent) > _EVENTS:
                self._recent.popitem(last=False)
        elif event.state == "withdrawn" and event.uuid in self._recent:
            known = self._recent.pop(event.uuid)
            self._keep(_from_event(event, ("withdrawn",), known.quad, b""), known.patch)

    def end(self, sighting: Sighting, ending: Ending, uuid: str) -> None:
        """Keep the best picture of a track if it was a hard one."""
        if not self.on or sighting.best.patch is None:
            return
        reasons = why_hard(ending, self._limits)
        text = canonical(ending.plate)
        if ending.state == "withdrawn" and any(canonical(p.event.plate) == text for p in self._recent.values()):
            reasons = tuple(reason for reason in reasons if reason != "withdrawn")  # the same passage, told already
        if not reasons:
            return
        read = sighting.read
        self._keep(
            Example(
                uuid=uuid or f"track-{sighting.epoch_start}-{sighting.track_id}",
                epoch_ms=max(0, sighting.epoch_end),
                camera_id=sighting.camera_id,
                reasons=reasons,
                hardness=hardness(reasons, ending.score, ending.agreement),
                state=ending.state,
                plate=read.plate,
                score=clean(read.score),
                agreement=clean(ending.agreement),
                reads=ending.reads,
                candidates=tuple(Candidate(c.plate, clean(c.score)) for c in read.candidates),
                quad=_corners(_quad_of(sighting.best)),
                picture=b"",
                models=self._models,
            ),
            sighting.best.patch,
        )

    def mark_wrong(self, uuid: str, text: str | None = None) -> Example:
        """The driver says that an event's text is wrong, and maybe what it is: keep it as the hardest kind.

        Taken from the examples kept, this drive's memory, or the store. Raises `LabelError`, `StoreError`, `SealError`
        where the event is not known, has no picture, the leave is not given, or it cannot be written.
        """
        learning = self._config.learning
        if not learning.keep_hard_examples:
            raise LabelError("hard examples are not kept; give the owner's leave: learning.keep_hard_examples = true")
        plain = (text or "").upper().replace(" ", "").replace("-", "")
        if plain and not (plain.isascii() and plain.isalnum()):
            raise LabelError(f"'{text}' is no plate's text; give letters and digits")
        self._key = self._key or open_or_make_key(Path(learning.key_file).expanduser())
        example = self._kept(uuid, self._key) or self._remembered(uuid) or self._stored(uuid)
        changed = msgspec.structs.replace(
            example,
            correction=plain,
            reasons=("corrected", *(reason for reason in example.reasons if reason != "corrected")),
            hardness=RANKS["corrected"] * 1000 + 999,
            epoch_ms=time.time_ns() // 1_000_000,  # its days count from now
        )
        if not self.files.add(changed, self._key):
            raise LabelError(f"{self.files.folder}: it was not kept; make room, or raise learning.max_examples")
        return changed

    def _kept(self, uuid: str, key: Key) -> Example | None:
        for entry in self.files.entries():
            if entry.uuid == uuid:
                return self.files.load(entry, key)
        return None

    def _remembered(self, uuid: str) -> Example | None:
        known = self._recent.get(uuid)
        return _from_event(known.event, (), known.quad, _png(known.patch)) if known else None

    def _stored(self, uuid: str) -> Example:
        folder = Path(self._config.store.path).expanduser()
        event = find_event(folder, uuid, self._config.store)
        if event is None:
            raise LabelError(f"{folder}: no event {uuid}; the events' uuids are in the file of `run --events FILE`")
        picture = Vault(self._config.store).picture(folder, event.images.plate)
        if not picture:
            raise LabelError(f"event {uuid}: no picture was kept with it; set store.keep_images = true for later ones")
        quad = np.array([(point.x, point.y) for point in event.coordinates], np.float32)
        return _from_event(event, (), patch_quad(quad, *_ANY_SIZE), picture)

    def _keep(self, example: Example, patch: Luma) -> None:
        """Have an example written with its picture; encoding, sealing and the disk are not the frame's to wait for."""
        if self._background is None or not self._background.do(lambda: self._write(example, patch)):
            self.files.lose("the disk is too slow")

    def _write(self, example: Example, patch: Luma) -> None:
        self._key = self._key or self._open_key()
        if self._key is not None:
            self.files.add(msgspec.structs.replace(example, picture=_png(patch)), self._key)

    def _open_key(self) -> Key | None:
        try:
            return open_or_make_key(Path(self._config.learning.key_file).expanduser())
        except EdgeAlprError as error:
            self.files.lose(str(error))
            return None


def _from_event(event: Event, reasons: tuple[Reason, ...], quad: Floats, picture: bytes) -> Example:
    return Example(
        uuid=event.uuid,
        epoch_ms=max(0, event.epoch_end),
        camera_id=event.camera_id,
        reasons=reasons,
        hardness=hardness(reasons, event.score, event.agreement),
        state=event.state,
        plate=event.plate,
        score=event.score,
        agreement=event.agreement,
        reads=event.reads,
        candidates=event.candidates,
        quad=_corners(quad),
        picture=picture,
        models=event.models,
    )


def _quad_of(best: Observation) -> Floats:
    """Where the plate lies in its patch."""
    size = (best.scene.width, best.scene.height) if best.scene else _ANY_SIZE
    return patch_quad(best.detection.quad, *size)


def _corners(quad: Iterable[Iterable[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((round(float(x), 2), round(float(y), 2)) for x, y in quad)


def _png(patch: Luma) -> bytes:
    done, packed = cv2.imencode(".png", patch, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return packed.tobytes() if done else b""
