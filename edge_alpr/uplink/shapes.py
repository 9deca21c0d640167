"""The event in the words of other programs. Pure; the fields are explained in docs/links.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
from msgspec import UnsetType

from edge_alpr.config import Shape
from edge_alpr.sinks.wire import encode_event
from edge_alpr.types import Candidate, Event, State

_Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How an event is put, and which states can be said at all."""

    encode: Callable[[Event], bytes]
    states: frozenset[State]


def _openalpr(event: Event) -> bytes:
    """A group of OpenALPR's agent (all reads of one vehicle); a hit is its alert, with the group inside."""
    group = _group(event)
    if event.match is None:
        return msgspec.json.encode(group)
    alert = {
        "data_type": "alpr_alert",
        "version": 1,
        "epoch_time": event.epoch_end,
        "agent_uid": event.device_id,
        "camera_name": event.camera_id,
        "plate_number": event.plate,
        "alert_list": event.match.list,
        "description": event.match.entry,
        "group": group,
    }
    return msgspec.json.encode(alert)


def _group(event: Event) -> _Json:
    candidates = [_openalpr_plate(candidate) for candidate in event.candidates]
    best = {
        **_openalpr_plate(Candidate(event.plate, event.score)),
        "coordinates": [{"x": round(point.x), "y": round(point.y)} for point in event.coordinates],
        "region": _region(event)[0],
        "region_confidence": _percent(_region(event)[1]),
        "processing_time_ms": event.processing_time_ms.get("total", 0.0),
        "candidates": candidates,
    }
    return {
        "data_type": "alpr_group",
        "version": 2,
        "epoch_start": event.epoch_start,
        "epoch_end": event.epoch_end,
        "agent_uid": event.device_id,
        "camera_id": event.camera_id,
        "best_uuid": event.uuid,
        "uuids": [event.uuid],
        "best_plate_number": event.plate,
        "best_confidence": _percent(event.score),
        "best_region": _region(event)[0],
        "best_plate": best,
        "candidates": candidates,
        "gps_latitude": event.gps.get("lat", -1),
        "gps_longitude": event.gps.get("lon", -1),
        "user_data": "",
    }


def _openalpr_plate(candidate: Candidate) -> _Json:
    return {"plate": candidate.plate, "confidence": _percent(candidate.score), "matches_template": 0}


def _platerecognizer(event: Event) -> bytes:
    """What Plate Recognizer's Stream sends to its webhooks; plates are in lower case."""
    result = {
        "plate": event.plate.lower(),
        "score": event.score,
        "dscore": event.agreement,
        "box": event.box,
        "region": dict(zip(("code", "score"), _region(event), strict=True)),
        "vehicle": {},
        "candidates": [Candidate(c.plate.lower(), c.score) for c in event.candidates],
        "position_sec": 0.0,
    }
    data = {
        "camera_id": event.camera_id,
        "filename": event.images.frame,
        "timestamp": event.timestamp,
        "timestamp_local": event.timestamp,
        "results": [result],
    }
    hook = {"target": "", "id": event.camera_id, "event": "recognition", "filename": event.images.frame}
    return msgspec.json.encode({"hook": hook, "data": data})


def _region(event: Event) -> tuple[str, float]:
    return ("", 0.0) if isinstance(event.region, UnsetType) else (event.region.code, event.region.score)


def _percent(score: float) -> float:
    return round(100 * score, 4)


DIALECTS: dict[Shape, Dialect] = {
    "edge-alpr": Dialect(encode_event, frozenset({"possible", "confirmed", "withdrawn"})),
    "openalpr": Dialect(_openalpr, frozenset({"confirmed"})),
    "platerecognizer": Dialect(_platerecognizer, frozenset({"confirmed"})),
}


def tracked_object_update(event: Event) -> bytes:
    """Frigate's message of a plate it read; `state` and `match` are ours."""
    update = {
        "type": "lpr",
        "id": event.uuid,
        "name": event.match.entry if event.match else None,
        "plate": event.plate,
        "score": event.score,
        "camera": event.camera_id,
        "timestamp": event.epoch_end / 1000,
        "state": event.state,
        "seq": event.seq,
        "match": event.match,
    }
    return msgspec.json.encode(update)
