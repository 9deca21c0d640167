"""Takes events to a server."""

from __future__ import annotations

import logging
import queue
import threading
from contextlib import closing
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_when_event_set, wait_random_exponential
from tenacity.nap import sleep_using_event

from edge_alpr.config import Config, WebhookConfig
from edge_alpr.errors import StoreError
from edge_alpr.uplink.courier import Outage
from edge_alpr.uplink.source import Source
from edge_alpr.uplink.waiting import Waiting
from edge_alpr.uplink.webhook import LaterError, RefusedError, Webhook, heartbeat_letter, letter_of

_IDLE_S = 0.1
_LEAST_PAUSE_S = 0.5
_log = logging.getLogger(__name__)


class HookCourier:
    """Posts events one after the other; one that fails is tried again before the next."""

    def __init__(self, config: WebhookConfig, waiting: Waiting, car: Config) -> None:
        self._config, self._waiting, self._car = config, waiting, car
        self._hook = Webhook(config)
        self._outage = Outage(f"webhook {config.name}", waiting)
        self._grown = wait_random_exponential(multiplier=1, max=config.max_pause_s, min=_LEAST_PAUSE_S)
        self._beats: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def run(self, stop: threading.Event) -> None:
        """See `Courier`."""
        again = Retrying(
            stop=stop_when_event_set(stop), wait=self._pause_s, sleep=sleep_using_event(stop), reraise=True,
            retry=retry_if_exception_type((LaterError, StoreError)), before_sleep=self._failed,
        )  # fmt: skip
        with closing(Source(self._car)) as source, closing(self._hook):
            while not stop.is_set():
                self._post_beats()
                seq = self._waiting.take(_IDLE_S)
                if seq is None:
                    continue
                try:
                    again.copy()(self._tell, seq, source, stop)
                except (LaterError, StoreError):
                    self._waiting.put_back(seq)

    def beat(self, beat: dict[str, Any]) -> None:
        """See `Courier`."""
        if self._config.heartbeat and self._beats.empty():
            self._beats.put(beat)

    def _tell(self, seq: int, source: Source, stop: threading.Event) -> None:
        if stop.is_set():
            raise LaterError("the uplink ends")
        event = source.event(seq)
        if event is None:
            self._waiting.settle(seq, "gone")
            return
        try:
            self._hook.post(letter_of(event, self._config, source.picture))
        except RefusedError as error:
            _log.warning("webhook %s refuses event %d (%s): %s", self._config.name, seq, event.uuid, error)
            self._waiting.settle(seq, "refused", str(error))
        else:
            self._waiting.settle(seq, "sent")
        self._outage.is_over()

    def _post_beats(self) -> None:
        while not self._beats.empty():
            try:
                self._hook.post(heartbeat_letter(self._beats.get()))
            except (LaterError, RefusedError) as error:
                _log.info("webhook %s: heartbeat not taken: %s", self._config.name, error)

    def _pause_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        wanted = error.after_s if isinstance(error, LaterError) else None
        return self._grown(state) if wanted is None else wanted + _LEAST_PAUSE_S

    def _failed(self, state: RetryCallState) -> None:
        self._outage.goes_on(str(state.outcome.exception()) if state.outcome else "")
