"""A connection to an MQTT broker that comes back by itself: the only file that knows paho."""

from __future__ import annotations

import queue
import random
import ssl
import threading
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_alpr.config import MqttConfig
from edge_alpr.errors import LinkError
from edge_alpr.uplink.signing import read_secret
from edge_alpr.uplink.topics import OFFLINE, ONLINE, Message, Topics

_PROTOCOLS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = (1.0, 2.0), (60.0, 120.0)
"""Pauses before a new try double from the first to the longest; each car draws its own, so that they do not all come
at once when a broker is back."""
_REFUSED = 0x80
"""Reason codes of MQTT 5 from here on are failures."""


class Broker:
    """One client. Its callbacks run on paho's thread, everything else on yours. Close it when done.

    Raises `LinkError` where a file is missing or the address cannot be.
    """

    def __init__(self, config: MqttConfig, topics: Topics, greeting: Callable[[], list[Message]]) -> None:
        """`greeting` are the messages after each connecting; it is called on paho's thread."""
        self.connected = threading.Event()
        self.trouble = "not yet connected"
        self.acknowledged: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        """(number of the message, why the broker refused it: empty where it took it)"""
        self._topics, self._greeting = topics, greeting
        name = config.client_id or f"edge-alpr-{topics.device}"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, name, protocol=_PROTOCOLS[config.protocol])
        self._client.will_set(topics.available, OFFLINE, qos=1, retain=True)
        self._client.reconnect_delay_set(random.uniform(*_FIRST_PAUSE_S), random.uniform(*_LONGEST_PAUSE_S))  # type: ignore[arg-type]
        if config.user:
            self._client.username_pw_set(config.user, _password(config))
        if config.tls:
            self._client.tls_set_context(_tls(config))
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        _refuse_no_name(config.host)
        port = config.port or (8883 if config.tls else 1883)
        self._client.connect_async(config.host, port, config.keepalive_s)
        self._client.loop_start()
        name = f"paho-mqtt-client-{name}"
        self._thread = next((thread for thread in threading.enumerate() if thread.name == name), None)

    def check(self) -> None:
        """Raises `LinkError` where the client's thread has died: then nothing would ever be told."""
        if self._thread is not None and not self._thread.is_alive():
            raise LinkError("mqtt: the client ended by an error (see above)")

    def publish(self, message: Message, qos: int = 1) -> int:
        """Hand a message over; its number comes back through `acknowledged` when the broker has it, or refuses it."""
        return self._client.publish(message.topic, message.payload, qos, message.retain).mid

    def close(self) -> None:
        """Say goodbye and end the thread; the last will is not told then, so `offline` is said first."""
        if self.connected.is_set():
            self._client.publish(self._topics.available, OFFLINE, qos=0, retain=True)
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self.trouble = f"the broker refused the connection: {reason}"
            return
        self.trouble = ""
        for message in self._greeting():
            self._client.publish(message.topic, message.payload, 1, message.retain)
        self._client.publish(self._topics.available, ONLINE, qos=1, retain=True)
        self.connected.set()

    def _on_connect_fail(self, _client: Any, _data: Any) -> None:
        self.trouble = "the broker cannot be reached"

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.connected.clear()
        self.trouble = self.trouble or f"the connection ended: {reason}"

    def _on_publish(self, _client: Any, _data: Any, number: int, reason: Any, _properties: Any) -> None:
        self.acknowledged.put((number, str(reason) if reason.value >= _REFUSED else ""))


def _refuse_no_name(host: str) -> None:
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise LinkError(f"mqtt.host: {host!r} is no name of a host: {error}") from error


def _password(config: MqttConfig) -> str | None:
    return read_secret(config.password_file, "mqtt.password_file") if config.password_file else None


def _tls(config: MqttConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.ca_file or None)
        if config.cert_file:
            context.load_cert_chain(config.cert_file, config.key_file or None)
    except OSError as error:
        files = ", ".join(name for name in (config.ca_file, config.cert_file, config.key_file) if name)
        raise LinkError(f"mqtt: certificates ({files or 'of the system'}) cannot be used: {error}") from error
    return context
