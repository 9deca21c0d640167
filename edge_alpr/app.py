"""Opens the networks and puts the stages together: what `run`, `read` and `eval` have in common."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from edge_alpr.config import Config, Tier
from edge_alpr.errors import ModelError
from edge_alpr.formats import NO_FORMATS, Formats, open_formats
from edge_alpr.hits import NO_HITS
from edge_alpr.infer import adapt
from edge_alpr.infer.adapt import Cut
from edge_alpr.infer.package import ModelPackage, in_precision, load_package
from edge_alpr.infer.rungs import open_session
from edge_alpr.infer.sets import ModelSet, configured, shipped_set, usable_set
from edge_alpr.ops.governor import Governor, Level
from edge_alpr.ops.steering import Sensors, Steering
from edge_alpr.pipeline import Effort, Identity, Lane, Looking, Nets, Pipeline, Stages, Tracking
from edge_alpr.ports import Hits
from edge_alpr.spans import HeardSession, Listener, heard
from edge_alpr.stages.again import ReadAgain
from edge_alpr.stages.detect import Detector
from edge_alpr.stages.event import EventMaker
from edge_alpr.stages.keep import surroundings
from edge_alpr.stages.near import MIN_WIDTH_PX, THRESHOLD, Find, Near
from edge_alpr.stages.read import Reader
from edge_alpr.stages.rectify import cut
from edge_alpr.stages.track import CameraMotion, Tracker
from edge_alpr.types import Crop, Detection, Luma, Observation, Read, Whereabouts

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
    hits: Hits = NO_HITS
    """The hot lists of a drive."""
    among: ModelSet = field(default_factory=shipped_set)
    """Where what the configuration does not name was taken from."""
    refused: str = ""
    """Why that is not the set of the shelf, where it is not."""

    @property
    def nets(self) -> Nets:
        """As a pipeline takes them."""
        return Nets(self.detect, self.cut, self.read, self.identities)

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


def open_detector(
    config: Config, tier: Tier | None = None, listen: Listener | None = None, among: ModelSet | None = None
) -> OpenDetector:
    """Open the configured detector, or that of a tier in a set where none is named. Raises `ModelError`.

    `listen` hears of its parts: network (in find, which begins with the resize) and look.
    """
    among = among or usable_set(config.models)
    package = configured(config.models, "detector", tier, among)
    session = open_session(package, config.models.threads)
    spec = adapt.detector_spec(package.card)
    find: Find = Detector(HeardSession(session, "network", listen) if listen else session, config.detect, spec)
    once = OpenDetector(heard("find", find, listen) if listen else find, session.identity)
    if not config.detect.look_again:
        return once
    near = in_precision(load_package(among.path("detector", "near")), config.models.precision)
    return _looking_again(config, near, once, spec.feed.size, listen)


def _looking_again(
    config: Config, package: ModelPackage, once: OpenDetector, input_size: tuple[int, int], listen: Listener | None
) -> OpenDetector:
    session, spec = open_session(package, threads=1), adapt.detector_spec(package.card)  # too small to be shared out
    wanted = msgspec.structs.replace(config.detect, threshold=THRESHOLD, min_width_px=MIN_WIDTH_PX)
    look: Find = Detector(session, wanted, spec)
    near = heard("look", look, listen) if listen else look
    return OpenDetector(Near(once.detect, near, spec.feed.size, input_size), f"{once.identity},{session.identity}")


def open_models(config: Config, tier: Tier | None = None, listen: Listener | None = None) -> Models:
    """Load both packages and open their sessions; `tier` and `listen` as in `open_detector`.

    A set of `[models] shelf` that cannot be opened is told, and the shipped one taken. Raises `ModelError`, and
    `ConfigError` for wrong formats.
    """
    formats, among = open_formats(config.formats), usable_set(config.models)
    try:
        return open_pair(config, formats, among, tier, listen)
    except ModelError as error:
        if not among.version:
            raise
        _log.warning("%s cannot be opened, the shipped ones read: %s", among.title, error)
        return replace(open_pair(config, formats, shipped_set(), tier, listen), refused=str(error))


def open_pair(
    config: Config, formats: Formats, among: ModelSet, tier: Tier | None = None, listen: Listener | None = None
) -> Models:
    """The same with the packages of one set, and no other. Raises `ModelError`."""
    detector = open_detector(config, tier, listen, among)
    package = configured(config.models, "reader", among=among)
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
        among=among,
    )


def device_id(config: Config) -> str:
    """The configured id, else the host's name."""
    return config.device_id


def _plain(tracker: Tracking) -> Tracking:
    return tracker


def make_pipeline(
    config: Config,
    models: Models,
    locate: Callable[[int], Whereabouts] = lambda stamp_ns: Whereabouts(),
    wrap: Callable[[Tracking], Tracking] = _plain,
    listen: Listener | None = None,
    on_gpu: Looking | None = None,
) -> Pipeline:
    """A fresh pipeline: without tracks, its memory of told plates empty.

    `locate` as in `Stages`; `wrap` may listen to the tracker of each camera, `listen` to the times of all stages;
    `on_gpu` looks at frames that lie there.
    """

    def lane() -> Lane:
        tracker = Tracker(config.track, models.formats.interpret)
        return Lane(CameraMotion(), wrap(tracker), tracker)

    stages = Stages(
        detect=models.detect,
        cut=models.cut,
        read=models.read,
        lane=lane,
        decide=EventMaker(config.event, device_id(config), models.formats, models.hits),
        guess=models.formats.guess,
        on_gpu=on_gpu,
        locate=locate,
    )
    return Pipeline(stages, Identity(device_id(config), models.identities), listen)


class Tiers:
    """The models that a pipeline reads with, by the detector's tier; all of them are exchanged as one.

    There is one detector for all tiers where the configuration names one of its own or the small tier, where no small
    one can be opened, and where nobody asked for it.
    """

    def __init__(self, config: Config, pipeline: Pipeline, models: Models) -> None:
        self._config, self._pipeline = config, pipeline
        self._tier: Tier = config.models.tier
        self._smaller = False
        self._open: dict[Tier, Models] = {self._tier: models}

    @property
    def models(self) -> Models:
        """Those of the configured tier."""
        return self._open[self._config.models.tier]

    def add_smaller(self) -> None:
        """Open the smaller detector besides."""
        self._smaller = self._config.models.tier == "large" and not self._config.models.detector
        self._open = self.opened(self.models)

    def opened(self, models: Models) -> dict[Tier, Models]:
        """These models, and with the smaller detector of their set where one is wanted. May be called on any thread."""
        tiers: dict[Tier, Models] = {self._config.models.tier: models}
        if self._smaller:
            try:
                tiers["small"] = models.using(open_detector(self._config, "small", among=models.among))
            except ModelError as error:
                _log.warning("governor: no smaller detector to change to: %s", error)
        return tiers

    def exchange(self, tiers: dict[Tier, Models]) -> None:
        """Read with those that were `opened`, from the next frame found on. What was found before is read as it was."""
        self._open = tiers
        self.choose(self._tier)

    def choose(self, tier: Tier) -> None:
        """Find by the detector of that tier, from the next frame found on."""
        self._tier = tier
        self._pipeline.use(self._open.get(tier, self.models).nets)


def steer(
    tiers: Tiers,
    pipeline: Pipeline,
    governor: Governor,
    sensors: Sensors | None = None,
    change_tier: Callable[[Tier], None] | None = None,
) -> Steering:
    """Have a governor choose what the pipeline does; opens the smaller detector besides. `change_tier` is the GPU's."""
    tiers.add_smaller()

    def apply(level: Level) -> None:
        tiers.choose(level.tier)
        if change_tier is not None:
            change_tier(level.tier)
        pipeline.effort = Effort(level.interval, level.reads)

    return Steering(governor, apply, sensors)
