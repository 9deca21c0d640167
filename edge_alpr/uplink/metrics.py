"""Prometheus metrics: how the drive is by its newest heartbeat, and how the links are. No plate is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from edge_alpr import __version__
from edge_alpr.errors import LinkError
from edge_alpr.ops.heartbeat import Heartbeat
from edge_alpr.ota.told import Updates, updates_told
from edge_alpr.uplink.beats import age_s, newest_beat
from edge_alpr.uplink.waiting import Waiting

_Value = Callable[[Heartbeat], float | None]
_GAUGES: tuple[tuple[str, str, _Value], ...] = (
    ("running", "1 while a drive runs, by its newest heartbeat", lambda beat: beat.running),
    ("keeping_up", "1 while all is done for each frame", lambda beat: beat.keeping_up),
    ("uptime_seconds", "Of the drive", lambda beat: beat.uptime_s),
    ("board_celsius", "The hottest part of the board", lambda beat: beat.board.celsius),
    ("board_watts", "What the board draws", lambda beat: beat.board.watts),
    ("governor_level", "0 is full", lambda beat: None if beat.level is None else beat.level.place),
    ("resident_memory_bytes", "Of the reader", lambda beat: None if beat.rss_mb is None else beat.rss_mb * 1e6),
)


class DriveCollector(Collector):
    """Reads the newest heartbeat when it is asked."""

    def __init__(self, folder: Path, links: Mapping[str, Waiting], data: Path | None = None) -> None:
        """`data`: the folder of updates, where it is not the store's."""
        self._folder, self._links, self._data = folder, links, data or folder

    def collect(self) -> Iterator[Metric]:
        """All metrics, as they are now."""
        yield _gauge("info", "Version of the uplink", {("version", __version__): 1})
        yield from self._of_links()
        yield from _of_updates(updates_told(self._data))
        beat = newest_beat(self._folder)
        if beat is not None:
            age = age_s(beat, datetime.now(timezone.utc))
            yield _gauge("heartbeat_age_seconds", "By the wall clock", {("", ""): age})
            yield from _of_drive(beat)

    def _of_links(self) -> Iterator[Metric]:
        waiting = {("target", name): len(link) for name, link in self._links.items()}
        works = {("target", name): not link.trouble for name, link in self._links.items()}
        yield _gauge("uplink_waiting_events", "Events that a target is still to be told", waiting)
        yield _gauge("uplink_works", "1 while the target takes what it is told", works)
        ended = CounterMetricFamily(
            "edge_alpr_uplink_events", "How the way of events ended", labels=("target", "outcome"))  # fmt: skip
        for name, link in self._links.items():
            for outcome, events in link.outcomes.items():
                ended.add_metric((name, outcome), events)
        yield ended


@contextmanager
def serving(listen: str, collector: Collector) -> Iterator[int]:
    """Serve the metrics at `ADDRESS:PORT`; gives the port (0 in the address: any). Raises `LinkError`."""
    address, _, port = listen.rpartition(":")
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, thread = start_http_server(int(port), address.strip("[]"), registry)
    except (OSError, OverflowError) as error:
        raise LinkError(f"metrics.listen {listen}: {error}; name another address or port") from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _of_drive(beat: Heartbeat) -> Iterator[Metric]:
    for name, text, value in _GAUGES:
        number = value(beat)
        if number is not None:
            yield _gauge(name, text, {("", ""): number})
    cameras = {("camera", camera.camera_id): camera for camera in beat.cameras}
    yield _gauge("camera_frames_per_second", "Taken, in the interval", {k: c.fps for k, c in cameras.items()})
    yield _gauge("camera_dropped_frames", "In the interval", {k: c.dropped for k, c in cameras.items()})
    latency = {("quantile", q): ms / 1000 for q, ms in (("0.5", beat.p50_ms), ("0.99", beat.p99_ms)) if ms is not None}
    yield _gauge("latency_seconds", "Frame in hand to its events stored and told", latency)
    told = {("state", "confirmed"): beat.confirmed, ("state", "withdrawn"): beat.withdrawn}
    yield _gauge("drive_events", "Told since the start of the drive", told)


def _of_updates(told: Updates) -> Iterator[Metric]:
    versions = GaugeMetricFamily("edge_alpr_version_info", "What runs, by unit of update", labels=["unit", "version"])
    for unit, version in told.versions.items():
        versions.add_metric([unit, version], 1.0)
    results = GaugeMetricFamily("edge_alpr_update_info", "What came of the last update of a unit",
                                labels=["unit", "version", "result"])  # fmt: skip
    for one in told.update:
        results.add_metric([one.unit, one.version, one.result], 1.0)
    yield from (versions, results)


def _gauge(name: str, text: str, values: Mapping[tuple[str, str], float]) -> Metric:
    """One value without a label, or one a label."""
    label = next(iter(values), ("", ""))[0]
    gauge = GaugeMetricFamily(f"edge_alpr_{name}", text, labels=[label] if label else [])
    for (_, value), number in values.items():
        gauge.add_metric([value] if label else [], float(number))
    return gauge
