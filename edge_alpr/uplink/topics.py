"""The topics of a device, and how Home Assistant is told of it. Pure; see docs/links.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from edge_alpr import __version__
from edge_alpr.config import MqttConfig
from edge_alpr.types import Event
from edge_alpr.uplink.shapes import DIALECTS, tracked_object_update

ONLINE, OFFLINE = b"online", b"offline"


@dataclass(frozen=True, slots=True)
class Message:
    """What is published where."""

    topic: str
    payload: bytes
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics below a device's base."""

    base: str
    device: str
    """The device id as a part of topics: letters, digits, - and _."""

    @classmethod
    def of(cls, config: MqttConfig, device_id: str) -> Topics:
        """Those of a device."""
        device = re.sub(r"[^A-Za-z0-9_-]", "_", device_id)
        return cls(config.topic.replace("{device_id}", device).strip("/"), device)

    @property
    def available(self) -> str:
        """`online` or `offline`, retained; the broker says offline where the car cannot (last will)."""
        return f"{self.base}/available"

    @property
    def stats(self) -> str:
        """Heartbeats, the newest retained."""
        return f"{self.base}/stats"

    @property
    def events(self) -> str:
        """Events."""
        return f"{self.base}/events"


def event_messages(event: Event, topics: Topics, config: MqttConfig) -> list[Message]:
    """All that is published of an event."""
    messages = [Message(topics.events, DIALECTS[config.shape].encode(event))]
    if config.tracked_object_update:
        messages.append(Message(f"{topics.base}/tracked_object_update", tracked_object_update(event)))
    return messages


def discovery_message(topics: Topics, config: MqttConfig) -> Message:
    """Home Assistant's device discovery (2024.11 and later): one retained message for all entities."""
    payload = {
        "device": {
            "identifiers": [f"edge_alpr_{topics.device}"],
            "name": f"edge-alpr {topics.device}",
            "manufacturer": "edge-alpr",
            "model": "Number-plate reader",
            "sw_version": __version__,
        },
        "origin": {"name": "edge-alpr", "sw_version": __version__},
        "availability_topic": topics.available,
        "components": _components(topics, config),
    }
    return Message(f"{config.discovery}/device/edge_alpr_{topics.device}/config", msgspec.json.encode(payload), True)


def _components(topics: Topics, config: MqttConfig) -> dict[str, Any]:
    sensors = {
        "fps": _sensor("Frames per second", "{{ value_json.cameras | sum(attribute='fps') }}", unit="fps"),
        "latency": _sensor("Latency p99", "{{ value_json.p99_ms }}", unit="ms"),
        "celsius": _sensor("Temperature", "{{ value_json.board.celsius }}", "°C", "temperature"),
        "watts": _sensor("Power", "{{ value_json.board.watts }}", "W", "power"),
        "confirmed": _sensor("Plates of this drive", "{{ value_json.confirmed }}"),
        "running": _switch("Reading", "{{ 'ON' if value_json.running else 'OFF' }}", "running"),
        "behind": _switch("Behind", "{{ 'OFF' if value_json.keeping_up else 'ON' }}", "problem"),
    }
    parts = {name: {**sensor, "state_topic": topics.stats} for name, sensor in sensors.items()}
    if config.shape == "edge-alpr":
        parts["plate"] = {**_sensor("Last plate", "{{ value_json.plate }}"), "state_topic": topics.events,
                          "json_attributes_topic": topics.events}  # fmt: skip
        parts["event"] = {
            "platform": "event",
            "name": "Plate",
            "state_topic": topics.events,
            "event_types": ["possible", "confirmed", "withdrawn"],
            "value_template": "{{ {'event_type': value_json.state, 'plate': value_json.plate, "
            "'match': value_json.match} | to_json }}",
        }
    return {name: {**part, "unique_id": f"edge_alpr_{topics.device}_{name}"} for name, part in parts.items()}


def _sensor(name: str, template: str, unit: str = "", device_class: str = "") -> dict[str, Any]:
    sensor = {"platform": "sensor", "name": name, "value_template": template}
    if unit:
        sensor |= {"unit_of_measurement": unit, "state_class": "measurement"}
    return {**sensor, "device_class": device_class} if device_class else sensor


def _switch(name: str, template: str, device_class: str) -> dict[str, Any]:
    return {"platform": "binary_sensor", "name": name, "value_template": template, "device_class": device_class}
