"""One run over a source, from its first frame to its last event stored and told."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import msgspec
from rich.console import Console

from edge_alpr.ahead import Ahead, InTurn
from edge_alpr.app import Models, Tiers, device_id, make_pipeline, open_models, open_pair, steer
from edge_alpr.camera import open_source
from edge_alpr.camera.several import together
from edge_alpr.config import Config, PositionConfig, SourceConfig, changed
from edge_alpr.device import BoardWatch, open_board
from edge_alpr.device.host import usable_cores
from edge_alpr.errors import SourceError
from edge_alpr.gpudrive import GpuDrive, Hardware, open_gpu_drive, this_hardware
from edge_alpr.hotlist.live import HotLists
from edge_alpr.hotlist.status import read_status
from edge_alpr.hotswap import Renewal, Shadow
from edge_alpr.infer.looking import Look
from edge_alpr.infer.onnx import MOST_THREADS
from edge_alpr.ops.governor import Governor, limits_on
from edge_alpr.ops.heart import Heart, Signs
from edge_alpr.ops.heart_sinks import heart_sinks
from edge_alpr.ops.learning import Learning
from edge_alpr.ops.liveview import LiveView
from edge_alpr.ops.steering import Sensors, Steering
from edge_alpr.pipeline import Found, Pipeline, Told
from edge_alpr.ports import FrameSource
from edge_alpr.position import Position, open_position
from edge_alpr.sinks.dispatch import Dispatcher, Start, Subscriber
from edge_alpr.sinks.housekeeping import Housekeeping
from edge_alpr.sinks.jsonl import JsonLines
from edge_alpr.sinks.pictures import Pictures
from edge_alpr.sinks.store import EventStore
from edge_alpr.sinks.terminal import Terminal
from edge_alpr.spans import Listener, Relay, Span
from edge_alpr.stages.keep import encode
from edge_alpr.types import Frame, SourceCounters, SourceInfo

_log = logging.getLogger(__name__)
_Heard: TypeAlias = tuple[Found, list[Span]]
"""What was found in a frame, and what a listener is to hear of it."""


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
    gpu_faults: int = 0
    """Calls of the GPU that failed; see `GpuHealth`."""
    gpu_lost: str = ""
    """Why the GPU was given up in mid-drive."""
    level: str = ""
    level_changes: int = 0
    last_change: str = ""
    first_plate_s: float | None = None
    stages: dict[str, tuple[float, float]] | None = None
    models: dict[str, str] = field(default_factory=dict)
    """The identities of the networks that ran, of those that read last."""
    models_version: str = ""
    """Of their set; empty for those that shipped."""
    models_refused: str = ""
    """Why those are not what the shelf named at the start, where they are not."""
    models_swaps: int = 0
    """How often another set took over in mid-drive."""
    cameras: dict[str, SourceCounters] = field(default_factory=dict)
    """By their ids, where there were several."""

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
    """What a measurement puts into a drive: sources of its own, something around all of them, a listener, a position.

    Besides the stages of `Pipeline` it hears of `load` (the models), of `store` where a frame had something to tell,
    and last of `total`: the frame in hand to its events stored and told.
    """

    source: Callable[[SourceConfig], FrameSource] = open_source
    listen: Listener | None = None
    around: Callable[[FrameSource], FrameSource] = lambda source: source
    position: Callable[[PositionConfig], Position] = open_position


UNMEASURED = Probe()


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a drive under way stands on."""

    started_s: float
    source: FrameSource
    dispatcher: Dispatcher
    pipeline: Pipeline
    position: Position
    lists: HotLists
    look: Look | None
    sensors: Sensors
    steering: Steering | None
    learning: Learning
    heart: Heart
    view: LiveView
    renewal: Renewal
    shadow: Shadow | None


class Drive:
    """One run over a source, or several at a time: every event is stored, then told.

    A live source is governed where the configuration says so; a recording only by a `governor` that is given.
    `sensors` tell it of the board and the speed; left out, it is this board and no speed. A live drive has heartbeats
    (see docs/heartbeat.md), a recording where the configuration names a file for them.
    """

    def __init__(
        self,
        config: Config,
        screen: Screen,
        probe: Probe = UNMEASURED,
        governor: Governor | None = None,
        sensors: Sensors | None = None,
        hardware: Hardware | None = None,
    ) -> None:
        self._hardware = hardware or this_hardware()
        self._config = config
        self._screen = screen
        self._probe = probe
        self._governor = governor
        self._sensors = sensors
        self._stop = False
        self._next: Config | None = None
        self._live: FrameSource | None = None
        self._relay = Relay()
        self.summary = Summary()

    def stop(self) -> None:
        """End after the frames at hand, or at once while a lost camera is waited for.

        May be called from a signal handler or another thread.
        """
        self._stop = True
        if self._live is not None:
            self._live.close()

    def reload(self, config: Config) -> None:
        """Go on by another configuration, as far as a running drive can; the rest is named in the log.

        May be called from a signal handler or another thread.
        """
        self._next = config

    def _attend(self, founds: InTurn[Frame, _Heard], drive: _Parts) -> None:
        """What others asked for meanwhile."""
        if self._next is not None:
            self._take(self._next, drive.pipeline, drive.sensors)
        if (models := drive.renewal.exchange()) is not None:
            self._renewed(models, drive)
        if self._stop:
            founds.end()

    def _renewed(self, models: Models, drive: _Parts) -> None:
        """Another set reads from the next frame found on."""
        drive.learning.exchange(models.identities)
        if drive.shadow is not None:
            drive.shadow.exchange(models.among)
        self._sum_up_models(models, drive.renewal)

    def _sum_up_models(self, models: Models, renewal: Renewal) -> None:
        summary = self.summary
        summary.models, summary.models_version = models.identities, models.among.version
        summary.models_swaps, summary.models_refused = renewal.swaps, models.refused

    def _take(self, config: Config, pipeline: Pipeline, sensors: Sensors) -> None:
        """The sections that a drive takes while it runs."""
        now, later = changed(self._config, config)
        self._next = None
        pipeline.configure(config.event)
        if self._governor is not None:
            self._governor.limits = limits_on(config.governor, sensors.throttles_c)
        taken = {name: getattr(config, name) for name in now}
        self._config = msgspec.structs.replace(self._config, **taken)
        _log.info("configuration read again: %s", ", ".join(now) or "nothing that a drive takes while it runs")
        if later:
            _log.warning("these wait for the next start: %s", ", ".join(later))

    def run(self, limit_s: float | None = None) -> Summary:
        """Read the source to its end, or for `limit_s` seconds. Raises the typed errors of its parts.

        What was read before an error is stored and told; the summary stands in `summary`.
        """
        with ExitStack() as stack:
            drive = self._open(stack, limit_s)
            try:
                with self._found(drive.source, drive.pipeline) as founds, _ended(drive.source):
                    for found, heard in founds:
                        self._relay.tell(heard)
                        self._frame(found, drive)
                        self._attend(founds, drive)
            finally:
                self._news(drive.pipeline.finish(), drive)
                drive.dispatcher.catch_up()
        return self.summary

    def _open(self, stack: ExitStack, limit_s: float | None) -> _Parts:
        """All that a drive stands on, closed with `stack`, the latest first."""
        config, started = self._config, time.monotonic()
        self._relay = Relay(self._probe.listen)
        position = stack.enter_context(self._probe.position(config.position))  # first: rows count from here
        models, gpu = self._networks(stack)
        source = stack.enter_context(self._probe.around(together(config.sources, self._opener(gpu))))
        live, look = source.info.live, gpu.look if gpu else None
        store = stack.enter_context(EventStore(Path(config.store.path).expanduser(), config.store))
        stack.enter_context(Housekeeping(store.folder, config.store, config.privacy))
        dispatcher = Dispatcher(store, self._subscribers(stack, lambda: position.began_ms(live)))
        self._screen.opened(source.info)
        self._live = source if live else None
        if limit_s is not None:
            self._stop_after(limit_s, stack)
        lists = stack.enter_context(HotLists(config))
        models = replace(models, hits=lists)
        pipeline = make_pipeline(config, models, position.locate(live), listen=self._relay.listener, on_gpu=look)
        sensors = self._watched(stack, source, position)
        tiers = Tiers(sharing(config), pipeline, models)
        steering = self._steering(tiers, pipeline, live, sensors, look)
        learning = Learning(config, models.identities, live)
        dispatcher.catch_up()
        stack.callback(self._sum_up, time.monotonic(), source, pipeline, store)
        stack.callback(self._sum_up_gpu, look)
        stack.callback(self._close, learning)
        heart = self._heart(stack, source, pipeline, sensors)
        view = self._live_view(stack, pipeline)
        renewal = stack.enter_context(Renewal(sharing(config), tiers, gpu))
        shadow = self._shadow(stack, models, pipeline) if live and config.models.shelf else None
        self._sum_up_models(models, renewal)
        return _Parts(
            started, source, dispatcher, pipeline, position, lists, look, sensors, steering, learning, heart, view,
            renewal, shadow,
        )  # fmt: skip

    def _networks(self, stack: ExitStack) -> tuple[Models, GpuDrive | None]:
        """Those of one set, for the processor and for the GPU."""
        models = self._load()
        gpu = self._gpu(models, stack)
        if gpu is None or gpu.among == models.among:
            return models, gpu
        pair = open_pair(sharing(self._config), models.formats, gpu.among, listen=self._relay.listener)
        return replace(pair, refused=gpu.refused), gpu

    def _frame(self, found: Found, drive: _Parts) -> None:
        """The second half of a frame's way, and what others hear of it."""
        pipeline = drive.pipeline
        news = pipeline.read(found)
        read = time.perf_counter_ns()
        if drive.steering is not None:
            took, now = read - found.begun_ns, time.monotonic_ns()
            drive.steering.frame(found.stamp_ns, took, found.searched, now, found.camera_id)
            drive.heart.govern(drive.steering.governor)
        others = (
            drive.position.status, drive.lists.status, drive.look.health.status if drive.look else "",
            drive.renewal.status,
        )  # fmt: skip
        self._screen.status(_status(drive.steering, drive.source, *others))
        self._news(news, drive)
        drive.view.show(found, pipeline.seen)
        if drive.shadow is not None and found.sample is not None:
            drive.shadow.offer(found.sample, pipeline.observed)
        if found.searched:
            pipeline.timings.told(found.begun_ns, read)
        if self._probe.listen is not None:
            _tell_times(self._probe.listen, found.begun_ns, read, bool(news))
        self._screen.progress(pipeline.counts.frames)

    def _news(self, news: list[Told], drive: _Parts) -> None:
        for told in news:
            self._tell(told, drive.dispatcher, drive.started_s)
        drive.learning.take(drive.pipeline.ended, news)

    def _gpu(self, models: Models, stack: ExitStack) -> GpuDrive | None:
        """The GPU, where there is one for this drive; a measurement's own source gives frames on the host."""
        if self._probe.source is not open_source:
            return None
        return open_gpu_drive(self._config, self._hardware, models.formats.interpret, stack, models.among)

    def _opener(self, gpu: GpuDrive | None) -> Callable[[SourceConfig], FrameSource]:
        """Opens a source with frames on the GPU; one that cannot do that gives them on the host, which is told."""
        if gpu is None:
            return self._probe.source

        def opened(source: SourceConfig) -> FrameSource:
            try:
                return open_source(source, device=gpu.frames)
            except SourceError as error:
                if self._config.models.run_on == "gpu":
                    raise
                plain = open_source(source)
                _log.warning("%s: its frames do not stay on the GPU: %s", source.camera_id, error)
                return plain

        return opened

    def _stop_after(self, limit_s: float, stack: ExitStack) -> None:
        timer = threading.Timer(limit_s, self.stop)
        timer.daemon = True
        timer.start()
        stack.callback(timer.cancel)

    def _found(self, source: FrameSource, pipeline: Pipeline) -> InTurn[Frame, _Heard]:
        """What is found in each frame, and what was heard of it: a frame ahead where there is a core for it."""

        def find(frame: Frame) -> _Heard:
            return pipeline.find(frame), self._relay.take()

        return Ahead(source, find, "finding") if usable_cores() > 1 else InTurn(source, find)

    def _watched(self, stack: ExitStack, source: FrameSource, position: Position) -> Sensors:
        """The sensors, the board's read on a thread of its own; where nobody will ask, it is not read."""
        board = open_board()
        sensors = self._sensors or Sensors(board.read, position.speed_kmh, throttles_c=board.throttles_c)
        watch = BoardWatch(sensors.board)
        if source.info.live or self._governor is not None or self._config.output.heartbeat:
            watch.start()
            stack.callback(watch.stop)
        return replace(sensors, board=watch.latest, cameras=lambda: self._cameras(source))

    def _cameras(self, source: FrameSource) -> dict[str, SourceCounters]:
        counters = source.counters
        return counters.cameras or {self._config.source.camera_id: counters}

    def _steering(
        self, tiers: Tiers, pipeline: Pipeline, live: bool, sensors: Sensors, look: Look | None
    ) -> Steering | None:
        if self._governor is None and live and self._config.governor.enabled:
            self._governor = Governor(limits_on(self._config.governor, sensors.throttles_c))
        if self._governor is None:
            return None
        change_tier = look.change_tier if look else None
        return steer(tiers, pipeline, self._governor, sensors, change_tier)

    def _heart(self, stack: ExitStack, source: FrameSource, pipeline: Pipeline, sensors: Sensors) -> Heart:
        """It beats only where somebody is told."""
        signs = Signs(
            device_id(self._config),
            sensors.cameras,
            sensors.board,
            lambda: (self.summary.confirmed, self.summary.withdrawn),
            lambda: pipeline.models,
            pipeline.timings.stages["total"],
            lambda: read_status(Path(self._config.store.path)),
        )
        sinks = heart_sinks(self._config, source.info.live, stack)
        heart = Heart(signs, sinks, self._config.output.heartbeat_s)
        return stack.enter_context(heart) if sinks else heart

    def _shadow(self, stack: ExitStack, models: Models, pipeline: Pipeline) -> Shadow:
        governor = self._governor
        level = (lambda: governor.place) if governor else lambda: 0
        shadow = stack.enter_context(Shadow(self._config, models.formats, models.among, level))
        pipeline.sample_wanted = shadow.wanted
        return shadow

    def _live_view(self, stack: ExitStack, pipeline: Pipeline) -> LiveView:
        live = stack.enter_context(LiveView(self._config))
        pipeline.scene_wanted = live.wanted
        return live

    def _load(self) -> Models:
        begin = time.perf_counter_ns()
        models = open_models(sharing(self._config), listen=self._relay.listener)
        if self._probe.listen is not None:
            self._probe.listen("load", begin, time.perf_counter_ns())
        return models

    def _subscribers(self, stack: ExitStack, begin_ms: Callable[[], int]) -> dict[str, Subscriber]:
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

    def _sum_up_gpu(self, look: Look | None) -> None:
        if look is None:
            return
        self.summary.gpu_faults, self.summary.gpu_lost = look.health.faults, look.health.lost
        if look.identities and not look.health.lost:
            self.summary.models = look.identities

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
        summary.last_restart, summary.cameras = counters.last_restart, counters.cameras
        summary.pictures_lost = store.counters.pictures_lost
        summary.stages = {
            name: (times.percentile(50), times.percentile(99)) for name, times in pipeline.timings.stages.items()
        }


@contextmanager
def _ended(source: FrameSource) -> Iterator[None]:
    """A camera is closed behind the block, so that nobody waits for its next frame."""
    try:
        yield
    finally:
        if source.info.live:
            source.close()


def sharing(config: Config) -> Config:
    """The configuration with half of the cores for each network, as two of them run at a time."""
    threads = config.models.threads or max(1, min(usable_cores() // 2, MOST_THREADS))
    return msgspec.structs.replace(config, models=msgspec.structs.replace(config.models, threads=threads))


def _status(steering: Steering | None, source: FrameSource, *others: str) -> str:
    """What is not as usual: the governor's level, cameras that are gone, what receiver, hot lists and GPU say."""
    level = steering.governor.status if steering else ""
    lost = [f"{name} lost" for name, counters in source.counters.cameras.items() if counters.lost]
    return "; ".join(filter(None, [level, *lost, *others]))


def _tell_times(listen: Listener, begun: int, read: int, stored: bool) -> None:
    now = time.perf_counter_ns()
    if stored:
        listen("store", read, now)
    listen("total", begun, now)


def _absolute(target: str) -> str:
    """The name that a sink's place in the store is kept by: the same file from any working folder."""
    return target if target == "-" else str(Path(target).expanduser().absolute())
