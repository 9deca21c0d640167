"""Takes events to an MQTT broker."""

from __future__ import annotations

import logging
import queue
import threading
import time
from contextlib import closing
from typing import Any

import msgspec

from edge_alpr.config import Config, MqttConfig
from edge_alpr.errors import StoreError
from edge_alpr.uplink.broker import Broker
from edge_alpr.uplink.courier import Outage
from edge_alpr.uplink.source import Source
from edge_alpr.uplink.topics import Message, Topics, discovery_message, event_messages
from edge_alpr.uplink.waiting import Waiting

_IDLE_S = 0.5
_MOMENT_S = 0.05
_REFUSED_PAUSE_S = 10.0
_LINGER_S = 1.0
"""For what is under way when the uplink ends, so that it need not be told again."""
_WINDOW = 20
"""Events handed to the broker's client and not acknowledged: what a broker of MQTT 5 takes at least, as a rule."""
_NEVER = ("Topic name invalid", "Payload format invalid", "Packet too large")
"""What no later try can mend. A lack of rights or of quota can be mended at the broker."""
_log = logging.getLogger(__name__)


class MqttCourier:
    """Publishes events with QoS 1, a window of them at a time; each is settled by the broker's acknowledgement."""

    def __init__(self, config: MqttConfig, waiting: Waiting, car: Config) -> None:
        self._config, self._waiting, self._car = config, waiting, car
        self._topics = Topics.of(config, car.device_id)
        self._outage = Outage(f"MQTT broker {config.host}", waiting)
        self._newest: dict[str, Any] | None = None
        self._event_of: dict[int, int] = {}
        """Message number -> seq of its event."""
        self._open: dict[int, set[int]] = {}
        """seq -> the numbers of its messages that are not acknowledged."""
        self._not_before_s = 0.0
        self._broker = Broker(config, self._topics, self._greeting)

    def run(self, stop: threading.Event) -> None:
        """See `Courier`."""
        with closing(Source(self._car)) as source, closing(self._broker):
            while not stop.is_set():
                self._broker.check()
                self._hear()
                if not self._broker.connected.wait(_IDLE_S):
                    self._outage.goes_on(self._broker.trouble)
                    continue
                if time.monotonic() < self._not_before_s:
                    stop.wait(_MOMENT_S)
                    continue
                try:
                    self._fill(source)
                except StoreError as error:
                    self._outage.goes_on(str(error))
                    stop.wait(_IDLE_S)
            until_s = time.monotonic() + _LINGER_S
            while self._open and self._broker.connected.is_set() and time.monotonic() < until_s:
                self._hear()

    def beat(self, beat: dict[str, Any]) -> None:
        """See `Courier`."""
        self._newest = beat
        if self._broker.connected.is_set():
            self._broker.publish(self._stats(beat), qos=0)

    def _greeting(self) -> list[Message]:
        greeting = [discovery_message(self._topics, self._config)] if self._config.discovery else []
        return [*greeting, self._stats(self._newest)] if self._newest else greeting

    def _stats(self, beat: dict[str, Any]) -> Message:
        return Message(self._topics.stats, msgspec.json.encode(beat), retain=True)

    def _fill(self, source: Source) -> None:
        while len(self._open) < _WINDOW:
            seq = self._waiting.take(0 if self._open else _IDLE_S)
            if seq is None:
                if not self._open:
                    self._outage.is_over()
                return
            try:
                event = source.event(seq)
            except StoreError:
                self._waiting.put_back(seq)
                raise
            if event is None:
                self._waiting.settle(seq, "gone")
                continue
            numbers = {self._broker.publish(message) for message in event_messages(event, self._topics, self._config)}
            self._open[seq] = numbers
            self._event_of |= dict.fromkeys(numbers, seq)

    def _hear(self) -> None:
        """Settle what was acknowledged; waits a moment for the first, where anything is under way."""
        patience = _MOMENT_S if self._open else 0.0
        while True:
            try:
                number, refusal = self._broker.acknowledged.get(block=patience > 0, timeout=patience or None)
            except queue.Empty:
                return
            patience = 0.0
            seq = self._event_of.pop(number, None)
            if seq is not None:
                self._acknowledged(seq, number, refusal)

    def _acknowledged(self, seq: int, number: int, refusal: str) -> None:
        left = self._open.get(seq, set())
        left.discard(number)
        if refusal:
            self._open.pop(seq, None)
            for other in left:
                self._event_of.pop(other, None)
            self._refused(seq, refusal)
        elif not left:
            self._open.pop(seq, None)
            self._waiting.settle(seq, "sent")
            self._outage.is_over()

    def _refused(self, seq: int, refusal: str) -> None:
        if refusal in _NEVER:
            _log.warning("the MQTT broker refuses event %d: %s", seq, refusal)
            self._waiting.settle(seq, "refused", refusal)
            return
        self._outage.goes_on(f"the broker refuses events: {refusal}")
        self._waiting.put_back(seq)
        self._not_before_s = time.monotonic() + _REFUSED_PAUSE_S
