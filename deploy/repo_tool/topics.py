"""Whose heartbeat a line is. A broker binds a car to its topics; what the payload says of itself proves nothing."""

from __future__ import annotations

from edge_alpr.config import MqttConfig
from edge_alpr.uplink.topics import Topics

DEVICE = "{device_id}"
FORMAT = "mosquitto_sub -F '%t %x'"


class StrangerError(ValueError):
    """A line that is not shown to come from the car that it names."""


def split(line: bytes) -> tuple[str, bytes]:
    """Topic and payload of a line: the topic, a space, the payload in hexadecimal.

    Not the payload as it is: a car can put a line break into it, and after that another car's topic.
    Raises `StrangerError` for another line.
    """
    try:
        topic, payload = line.decode().strip().rsplit(" ", 1)
        return topic, bytes.fromhex(payload)
    except ValueError as error:
        why = f"a line is not counted that is no topic and payload in hexadecimal: {FORMAT}, or --without-topics"
        raise StrangerError(why) from error


def own_name(topic: str, pattern: str, device_id: str) -> str:
    """The device's part of a topic, the same for all ids that a car can publish there. `pattern` is `mqtt.topic`.

    Raises `StrangerError` where that device's heartbeats have another topic.
    """
    own = Topics.of(MqttConfig(topic=pattern), device_id)
    if topic != own.stats:
        raise StrangerError(f"not counted: {topic} told of {device_id}, whose topic is {own.stats} (--topic)")
    return own.device
