"""Puts the parts together: what `run`, `read` and `eval` have in common. The environment is read here only."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
from rich.console import Console

from edge_alpr.camera import open_source, wall_ms
from edge_alpr.config import Config, Precision, SourceConfig, Tier
from edge_alpr.device import open_board
from edge_alpr.errors import ModelError
from edge_alpr.formats import NO_FORMATS, Formats, open_formats
from edge_alpr.infer import adapt
from edge_alpr.infer.adapt import Cut
from edge_alpr.infer.package import configured, in_precision, load_package, shipped
from edge_alpr.infer.rungs import open_session
from edge_alpr.ops.governor import Governor, Level
from edge_alpr.ops.learning import Learning
from edge_alpr.ops.steering import Sensors, Steering
from edge_alpr.pipeline import Effort, Identity, Pipeline, Stages, Told, Tracking
from edge_alpr.ports import FrameSource
from edge_alpr.sinks.dispatch import Dispatcher, Start, Subscriber
from edge_alpr.sinks.jsonl import JsonLines
from edge_alpr.sinks.pictures import Pictures
from edge_alpr.sinks.store import EventStore
from edge_alpr.sinks.terminal import Terminal
from edge_alpr.spans import HeardSession, Listener, heard
from edge_alpr.stages.again import ReadAgain
from edge_alpr.stages.detect import Detector
from edge_alpr.stages.event import EventMaker
from edge_alpr.stages.keep import encode, surroundings
from edge_alpr.stages.near import Find, Near
from edge_alpr.stages.read import Reader
from edge_alpr.stages.rectify import cut
from edge_alpr.stages.track import CameraMotion, Tracker
from edge_alpr.types import Crop, Detection, Luma, Observation, Read, SourceInfo

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Models:
    """Both networks, ready to run, and the cut that the reader wants. `again` is for pictures by themselves."""

    detect: Find
    read: Reader
    identities: dict[str, str]
    again: ReadAgain
    cut: Cut = cut
    formats: Formats = NO_FORMATS

    def using(self, detector: OpenDetector) -> Models:
        """The same reader with another detector; both stay open, so this may happen between two frames."""
        identities = {**self.identities, "detector": detector.identity}
        return replace(self, detect=detector.detect, identities=identities)

    def observe(self, luma: Luma) -> tuple[list[Observation], dict[str, float]]:
        """Read one picture by itself: its plates and the milliseconds of each stage."""
        start = time.perf_counter()
        detections: list[Detection] = self.detect(luma)
        found = time.perf_counter()
        crops: list[Crop] = [self.cut(luma, d) for d in detections]
        plates = [surroundings(luma, d) for d in detections]
        reads: list[Read] = self.again(self.read(crops), plates)
        done = time.perf_counter()
        observations = [Observation(*parts) for parts in zip(detections, crops, reads, strict=True)]
        return observations, {
            "detect": round((found - start) * 1e3, 3),
            "read": round((done - found) * 1e3, 3),
            "total": round((done - start) * 1e3, 3),
        }


@dataclass(frozen=True)
class OpenDetector:
    """A detector by itself, as `Models.using` takes it."""

    detect: Find
    identity: str
    """What runs it, and its hash; after a comma those of the network that looks again, where one does."""


def open_detector(config: Config, tier: Tier | None = None, listen: Listener | None = None) -> OpenDetector:
    """Open the configured detector, or the shipped one of a tier where none is named. Raises `ModelError`.

    `listen` hears of its parts: network (in find, which begins with the resize) and look.
    """
    package = configured(config.models, "detector", tier)
    session = open_session(package, config.models.threads)
    spec = adapt.detector_spec(package.card)
    find: Find = Detector(HeardSession(session, "network", listen) if listen else session, config.detect, spec)
    once = OpenDetector(heard("find", find, listen) if listen else find, session.identity)
    return _looking_again(config, once, spec.feed.size, listen) if config.detect.look_again else once


def _looking_again(
    config: Config, once: OpenDetector, input_size: tuple[int, int], listen: Listener | None
) -> OpenDetector:
    wanted_precision: Precision = "full" if config.models.precision == "full" else "auto"  # it may have no variant
    package = in_precision(load_package(shipped("detector", "near")), wanted_precision)
    session, spec = open_session(package, config.models.threads), adapt.detector_spec(package.card)
    wanted = msgspec.structs.replace(config.detect, threshold=0.2, min_width_px=8.0)
    look: Find = Detector(session, wanted, spec)
    near = heard("look", look, listen) if listen else look
    return OpenDetector(Near(once.detect, near, spec.feed.size, input_size), f"{once.identity},{session.identity}")


def open_models(config: Config, tier: Tier | None = None, listen: Listener | None = None) -> Models:
    """Load both packages and open their sessions; `tier` and `listen` as in `open_detector`.

    Raises `ModelError`, and `ConfigError` for wrong formats.
    """
    formats = open_formats(config.formats)
    detector = open_detector(config, tier, listen)
    package = configured(config.models, "reader")
    session = open_session(package, config.models.threads)
    read = Reader(session, adapt.reader_spec(package.card), interpret=formats.interpret)
    cutter = adapt.cutter(package.card)
    return Models(
        detector.detect,
        read,
        {"detector": detector.identity, "reader": session.identity},
        ReadAgain(read, cutter, config.stills),
        cutter,
        formats,
    )


def device_id(config: Config) -> str:
    """The configured id, else the host's name."""
    return config.store.device_id or socket.gethostname() or "edge-alpr"


def _plain(tracker: Tracking) -> Tracking:
    return tracker


def make_pipeline(
    config: Config,
    models: Models,
    clock_source: str = "unset",
    wrap: Callable[[Tracking], Tracking] = _plain,
    listen: Listener | None = None,
) -> Pipeline:
    """A fresh pipeline: its tracker and its memory of told plates are empty.

    `wrap` may listen to the tracker, `listen` to the times of all stages.
    """
    tracker = Tracker(config.track, models.formats.interpret)
    stages = Stages(
        detect=models.detect,
        cut=models.cut,
        read=models.read,
        motion=CameraMotion(),
        track=wrap(tracker),
        decide=EventMaker(config.event, device_id(config), models.formats),
        guess=models.formats.guess,
        spare=tracker,
    )
    return Pipeline(stages, Identity(device_id(config), clock_source, models.identities), listen)


def steer(
    config: Config, models: Models, pipeline: Pipeline, governor: Governor, sensors: Sensors | None = None
) -> Steering:
    """Have a governor choose what the pipeline does; opens the smaller detector besides.

    There is one detector for all levels where the configuration names one of its own or the small tier, and where
    no small one can be opened.
    """
    tiers = {config.models.tier: models}
    if config.models.tier == "large" and not config.models.detector:
        try:
            tiers["small"] = models.using(open_detector(config, "small"))
        except ModelError as error:
            _log.warning("governor: no smaller detector to change to: %s", error)

    def apply(level: Level) -> None:
        chosen = tiers.get(level.tier, models)
        pipeline.use(chosen.detect, chosen.identities)
        pipeline.effort = Effort(level.interval, level.reads)

    return Steering(governor, apply, sensors)


@dataclass(slots=True)
class Summary:
    """How a drive went; times in ms, `stages` maps a stage to its p50 and p99.

    `level` and the two below it are the governor's, `coasted` and `unread` what it left out (see `Counts`).
    """

    frames: int = 0
    plates: int = 0
    reads: int = 0
    confirmed: int = 0
    withdrawn: int = 0
    withheld: int = 0
    seconds: float = 0.0
    dropped: int = 0
    restarts: int = 0
    caps_changes: int = 0
    unreadable: int = 0
    last_restart: str = ""
    pictures_lost: int = 0
    examples_kept: int = 0
    examples_lost: int = 0
    coasted: int = 0
    unread: int = 0
    level: str = ""
    level_changes: int = 0
    last_change: str = ""
    first_plate_s: float | None = None
    stages: dict[str, tuple[float, float]] | None = None
    models: dict[str, str] = field(default_factory=dict)
    """The identities of the networks that ran."""

    @property
    def fps(self) -> float:
        """Frames per second over the whole drive, decoding included."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Screen:
    """Where people look: rows of plates go to `console` unless it is None; `progress` hears of each frame."""

    console: Console | None = None
    opened: Callable[[SourceInfo], None] = lambda info: None
    progress: Callable[[int], None] = lambda frames: None
    status: Callable[[str], None] = lambda text: None
    """Hears what is not as usual, empty where all is; once a frame."""


@dataclass(frozen=True)
class Probe:
    """What a measurement puts into a drive: a source of its own, and a listener.

    Besides the stages of `Pipeline` it hears of `load` (the models), of `store` where a frame had something to tell,
    and last of `total`: the frame in hand to its events stored and told.
    """

    source: Callable[[SourceConfig], FrameSource] = open_source
    listen: Listener | None = None


UNMEASURED = Probe()


class Drive:
    """One run over a source: every event is stored, then told.

    A live source is governed where the configuration says so; a recording only by a `governor` that is given.
    `sensors` tell it of the board and the speed; left out, it is this board and no speed.
    """

    def __init__(
        self,
        config: Config,
        screen: Screen,
        probe: Probe = UNMEASURED,
        governor: Governor | None = None,
        sensors: Sensors | None = None,
    ) -> None:
        self._config = config
        self._screen = screen
        self._probe = probe
        self._governor = governor
        self._sensors = sensors
        self._stop = False
        self._live: FrameSource | None = None
        self.summary = Summary()

    def stop(self) -> None:
        """End after the frame at hand, or at once while a lost camera is waited for.

        May be called from a signal handler or another thread.
        """
        self._stop = True
        if self._live is not None:
            self._live.close()

    def run(self, limit_s: float | None = None) -> Summary:
        """Read the source to its end, or for `limit_s` seconds. Raises the typed errors of its parts.

        What was read before an error is stored and told; the summary stands in `summary`.
        """
        config = self._config
        started, begin_ms = time.monotonic(), wall_ms()
        with ExitStack() as stack:
            models = self._load()
            source = stack.enter_context(self._probe.source(config.source))
            store = stack.enter_context(EventStore(Path(config.store.path).expanduser(), config.store))
            dispatcher = Dispatcher(store, self._subscribers(stack, begin_ms))
            self._screen.opened(source.info)
            self._live = source if source.info.live else None
            if limit_s is not None:
                timer = threading.Timer(limit_s, self.stop)
                timer.daemon = True
                timer.start()
                stack.callback(timer.cancel)
            pipeline = make_pipeline(config, models, listen=self._probe.listen)
            steering = self._steering(models, pipeline, source.info.live)
            learning = Learning(config, models.identities, source.info.live)
            dispatcher.catch_up()
            stack.callback(self._sum_up, time.monotonic(), source, pipeline, store)
            stack.callback(self._close, learning)
            try:
                for frame in source:
                    begun = time.perf_counter_ns()
                    news = pipeline.process(frame)
                    read = time.perf_counter_ns()
                    if steering is not None:
                        steering.frame(frame.stamp_ns, read - begun, pipeline.searched, time.monotonic_ns())
                        self._screen.status(steering.governor.status)
                    for told in news:
                        self._tell(told, dispatcher, started)
                    learning.take(pipeline.ended, news)
                    if pipeline.searched:
                        pipeline.timings.told(begun, read)
                    if self._probe.listen is not None:
                        _tell_times(self._probe.listen, begun, read, bool(news))
                    self._screen.progress(pipeline.counts.frames)
                    if self._stop:
                        break
            finally:
                news = pipeline.finish()
                for told in news:
                    self._tell(told, dispatcher, started)
                learning.take(pipeline.ended, news)
                dispatcher.catch_up()
        return self.summary

    def _steering(self, models: Models, pipeline: Pipeline, live: bool) -> Steering | None:
        if self._governor is None and live and self._config.governor.enabled:
            self._governor = Governor(self._config.governor)
        if self._governor is None:
            return None
        return steer(self._config, models, pipeline, self._governor, self._sensors or Sensors(open_board().read))

    def _load(self) -> Models:
        begin = time.perf_counter_ns()
        models = open_models(self._config, listen=self._probe.listen)
        if self._probe.listen is not None:
            self._probe.listen("load", begin, time.perf_counter_ns())
        self.summary.models = models.identities
        return models

    def _subscribers(self, stack: ExitStack, begin_ms: int) -> dict[str, Subscriber]:
        config, sinks = self._config, {}
        if config.output.events:
            lines = stack.enter_context(JsonLines(config.output.events, config.output.states))
            start = Start.NOW if config.output.events == "-" else Start.JOINED
            sinks[f"jsonl:{_absolute(config.output.events)}"] = Subscriber(lines, start)
        if self._screen.console is not None:
            terminal = Terminal(self._screen.console)
            terminal.begin(begin_ms)
            sinks["terminal"] = Subscriber(terminal, Start.NOW)
        return sinks

    def _tell(self, told: Told, dispatcher: Dispatcher, started: float) -> None:
        pictures = None
        if told.event.state == "confirmed":
            self.summary.confirmed += 1
            if self._config.store.keep_images:
                pictures = Pictures(*encode(told.best, self._config.store.jpeg_quality))
            if self.summary.first_plate_s is None:
                self.summary.first_plate_s = time.monotonic() - started
        elif told.event.state == "withdrawn":
            self.summary.withdrawn += 1
        dispatcher.publish(told.event, pictures)

    def _close(self, learning: Learning) -> None:
        learning.close()
        counters = learning.keeper.files.counters
        self.summary.examples_kept, self.summary.examples_lost = counters.kept, counters.lost

    def _sum_up(self, started: float, source: FrameSource, pipeline: Pipeline, store: EventStore) -> None:
        summary, counters, counts = self.summary, source.counters, pipeline.counts
        summary.frames, summary.plates, summary.reads = counts.frames, counts.plates, counts.reads
        summary.coasted, summary.unread = counts.coasted, counts.unread
        summary.withheld = pipeline.withheld
        if self._governor is not None:
            last = self._governor.last
            summary.level, summary.level_changes = self._governor.level.name, self._governor.changes
            summary.last_change = last.reason if last else ""
        summary.seconds = time.monotonic() - started
        summary.dropped, summary.restarts = counters.dropped, counters.restarts
        summary.caps_changes, summary.unreadable = counters.caps_changes, counters.unreadable
        summary.last_restart = counters.last_restart
        summary.pictures_lost = store.counters.pictures_lost
        summary.stages = {
            name: (pipeline.timings.percentile(name, 50), pipeline.timings.percentile(name, 99))
            for name in pipeline.timings.stages
        }


def _tell_times(listen: Listener, begun: int, read: int, stored: bool) -> None:
    now = time.perf_counter_ns()
    if stored:
        listen("store", read, now)
    listen("total", begun, now)


def _absolute(target: str) -> str:
    """The name that a sink's place in the store is kept by: the same file from any working folder."""
    return target if target == "-" else str(Path(target).expanduser().absolute())
