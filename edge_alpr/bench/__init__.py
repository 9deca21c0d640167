"""Measuring a drive: the same pipeline as `run`, its store included, with a listener in it. See docs/latency.md."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from edge_alpr.bench import report as reports
from edge_alpr.bench.meter import Meter
from edge_alpr.bench.paced import paced
from edge_alpr.bench.process import loads, peak_rss_mb, whole_load
from edge_alpr.bench.rendered import Rendered
from edge_alpr.bench.report import CameraReport, Machine, Report, Setting
from edge_alpr.bench.request import Request
from edge_alpr.bench.source import Metered
from edge_alpr.camera import open_source
from edge_alpr.camera.bindings import gst
from edge_alpr.config import Config, LearningConfig, OutputConfig, SourceConfig
from edge_alpr.device import Board, open_board
from edge_alpr.device.host import processor
from edge_alpr.drive import Drive, Probe, Screen, Summary
from edge_alpr.errors import SourceError
from edge_alpr.ports import FrameSource

UNENDING_S = 10.0
"""How long a source without an end is measured where nothing else is said."""


class Bench:
    """One measurement. After `run`, `meter` holds the single times."""

    def __init__(self, request: Request, config: Config) -> None:
        self._request = request
        self._config = config if request.plates is None else _drawn(config, request.cameras)
        self._metered: Metered | None = None
        self._board: Board = open_board()
        self._drive: Drive | None = None
        self._shown = config.source.uri
        self.meter = Meter(self._board, request.warm_up_s, self._duration())

    def stop(self) -> None:
        """End after the frame at hand; what was measured stands."""
        if self._drive is not None:
            self._drive.stop()

    def run(self) -> Report:
        """Measure. Raises the typed errors of a drive, and `SourceError` where nothing was left to be measured."""
        folder = Path(self._config.store.path).expanduser().absolute()
        with tempfile.TemporaryDirectory(prefix="edge-alpr-bench-", dir=_beside(folder)) as store:
            self._drive = Drive(self._measured(store), Screen(), Probe(self._open, self.meter.hear, self._around))
            summary = self._drive.run()
        if not self.meter.values["total"]:
            raise SourceError(
                f"{self._shown}: it ended within the warm-up of {self._request.warm_up_s:g} s; "
                "give --duration, or a shorter --warm-up"
            )
        return self._report(summary)

    def _duration(self) -> float | None:
        """Recordings are read once; whether a source is live is known later, so its scheme has to tell."""
        cameras = any(source.uri.startswith(("rtsp:", "v4l2:", "csi:")) for source in self._config.sources)
        unending = self._request.plates is not None or cameras
        return UNENDING_S if unending and self._request.duration_s is None else self._request.duration_s

    def _measured(self, store: str) -> Config:
        """The configuration with a store that goes away, and without what a user's drives leave behind.

        The governor does not run: it would change what is measured.
        """
        config = self._config
        return replace(
            config,
            store=replace(config.store, path=store),
            output=OutputConfig(),
            learning=LearningConfig(keep_hard_examples=False, watch_drift=False),
            governor=replace(config.governor, enabled=False),
        )

    def _open(self, config: SourceConfig) -> FrameSource:
        def opened() -> FrameSource:
            if self._request.plates is None:
                return open_source(config)
            return Rendered(self._request.plates, self._request.size, config.camera_id)

        return paced(opened, self._request.pace, self._request.duration_s is not None)

    def _around(self, source: FrameSource) -> FrameSource:
        self._shown = source.info.uri
        self._metered = Metered(source, self.meter)
        return self._metered

    def _report(self, summary: Summary) -> Report:
        meter, host = self.meter, processor()
        frames, seconds = len(meter.values["total"]), meter.seconds
        watts = _mean([reading.watts for reading in meter.readings])
        threads = loads(*meter.cpu) if meter.cpu else []
        reads = summary.reads / max(1, summary.frames)
        setting = self._setting()
        return Report(
            setting=setting,
            machine=self._machine(),
            models=summary.models,
            frames=frames,
            dropped=summary.dropped - meter.dropped_before,
            seconds=round(seconds, 3),
            fps=round(frames / seconds, 2),
            found_per_frame=round(summary.plates / max(1, summary.frames), 3),
            reads_per_frame=round(reads, 3),
            stages={name: reports.times(values) for name, values in meter.values.items() if values},
            cpu_percent=whole_load(*meter.cpu) if meter.cpu else None,
            threads=threads,
            rss_mb=peak_rss_mb(),
            load_s=_rounded(meter.load_s),
            first_read_s=_rounded(meter.first_read_s),
            watts=watts,
            celsius=max((r.celsius for r in meter.readings if r.celsius is not None), default=None),
            mj_per_frame=None if watts is None else round(1e3 * watts * seconds / frames, 2),
            warnings=reports.warnings(host, setting, frames, reads),
            cameras=self._cameras(summary),
        )

    def _cameras(self, summary: Summary) -> dict[str, CameraReport]:
        tallies = self._metered.tallies if self._metered else {}
        return {
            name: CameraReport(
                tally.frames,
                summary.cameras[name].dropped - tally.dropped_before,
                reports.times(tally.ages) if tally.ages else None,
            )
            for name, tally in tallies.items()
        }

    def _setting(self) -> Setting:
        request, width_height = self._request, self.meter.frame_size
        return Setting(
            self._shown, request.pace, request.plates, *width_height, self._config.models.threads,
            self._config.models.tier, request.warm_up_s, self._duration(), len(self._config.sources),
        )  # fmt: skip

    def _machine(self) -> Machine:
        host = processor()
        modes = {reading.power_mode for reading in self.meter.readings if reading.power_mode}
        return Machine(
            self._board.name, self._board.rail, ", ".join(sorted(modes)) or None, host.model, host.cores,
            host.governor, host.turbo, reports.versions(gst().version_string().removeprefix("GStreamer ")),
        )  # fmt: skip


def _drawn(config: Config, cameras: int) -> Config:
    """The configuration with so many cameras for drawn frames."""
    first, *others = (SourceConfig(camera_id=f"camera{place}") for place in range(cameras))
    return replace(config, source=first, cameras=tuple(others))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 3) if known else None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _beside(folder: Path) -> Path | None:
    """The folder nearest to the real store that may be written, so that the same disk is measured."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    return nearest if nearest.is_dir() and os.access(nearest, os.W_OK) else None
