"""One running pipeline: starts a plan, puts the decoding chain in when the stream shows, hands out samples."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from edge_alpr.camera.allocation import welcome_padding
from edge_alpr.camera.bindings import gst, installed, parse
from edge_alpr.camera.decoders import FED, decode_chain, require
from edge_alpr.camera.pipelines import HEAD, SINK, Plan, quoted
from edge_alpr.camera.trouble import BrokenError, EndedError, Kind, Trouble, judge
from edge_alpr.errors import SourceError

_SLICE_S = 0.1
_GRACE_S = 0.5
_SUCCESSION_S = 1.0


class Player:
    """Owns a GStreamer pipeline from `__init__` to `stop`, which must be called.

    `convert` puts the conversion for pictures without a luma plane into the decoding chain of a dynamic plan;
    `prepare` is called with the pipeline before it starts.
    Raises `MissingElementError` when the plan needs what is not installed.
    """

    def __init__(self, plan: Plan, *, convert: bool = False, prepare: Callable[[Any], None] | None = None) -> None:
        self._installed = installed()
        require(plan.needs, self._installed)
        self._convert = convert
        self._seen: list[str] = []
        self._chain: Any = None
        self._spare = False
        self._refusal: SourceError | None = None
        self._trouble: Trouble | None = None
        self._pipeline: Any = parse(plan.text)
        self._pipeline.use_clock(gst().SystemClock.obtain())
        if prepare is not None:
            prepare(self._pipeline)
        self._bus = self._pipeline.get_bus()
        self._sink = self._pipeline.get_by_name(SINK)
        welcome_padding(self._sink.get_static_pad("sink"))
        self._dynamic = plan.dynamic
        self._memory = plan.memory
        if plan.dynamic:
            self._pipeline.get_by_name(HEAD).connect("pad-added", self._on_pad)

    def play(self) -> None:
        """Let it run; what fails shows at `pull`."""
        self._pipeline.set_state(gst().State.PLAYING)

    def preroll(self, timeout_s: float) -> None:
        """Bring the first picture to the sink, and wait for it. Raises like `pull`."""
        self._pipeline.set_state(gst().State.PAUSED)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            result, _, _ = self._pipeline.get_state(round(_SLICE_S * 1e9))
            self._listen()
            self._raise_trouble()
            if result == gst().StateChangeReturn.SUCCESS:
                if self._sink.is_eos():  # a short clip says no more when its format is refused
                    raise BrokenError(Trouble(Kind.NO_LUMA, "none of its pictures can be decoded"))
                return
            if result == gst().StateChangeReturn.FAILURE:  # its reason may come a moment later
                deadline = min(deadline, time.monotonic() + _GRACE_S)
                time.sleep(_GRACE_S / 10)
        raise BrokenError(Trouble(Kind.DAMAGED, f"no picture came out within {timeout_s:g} s"))

    def pull(self, timeout_s: float) -> Any:
        """The next sample, or None when none came in time.

        Raises `EndedError` at the end of the stream, `BrokenError` when the pipeline failed (after the last
        good sample), `SourceError` when the stream cannot be decoded here.
        """
        sample = self._sink.try_pull_sample(round(timeout_s * 1e9))
        self._listen()
        if sample is None:
            self._raise_trouble()
            if self._sink.is_eos():
                self._await_successor()
                raise EndedError
        return sample

    def running_time_ns(self, sample: Any) -> int | None:
        """Time of a sample since the pipeline's start, or None where the stream does not tell."""
        stamp = sample.get_buffer().pts
        if stamp == gst().CLOCK_TIME_NONE:
            return None
        running = sample.get_segment().to_running_time(gst().Format.TIME, stamp)
        return None if running == gst().CLOCK_TIME_NONE else int(running)

    @property
    def base_time_ns(self) -> int:
        """The monotonic time at which the running time was 0."""
        return int(self._pipeline.get_base_time())

    def duration_s(self) -> float | None:
        """Length of a recording, where its container tells."""
        known, duration = self._pipeline.query_duration(gst().Format.TIME)
        return duration / 1e9 if known and duration > 0 else None

    def frame_rate(self) -> float | None:
        """Frames per second of the decoded pictures, where the stream tells; after `preroll`."""
        caps = self._sink.get_static_pad("sink").get_current_caps()
        known, above, below = caps.get_structure(0).get_fraction("framerate") if caps else (False, 0, 1)
        return above / below if known and above > 0 else None

    def arrived(self) -> int:
        """Pictures that reached the sink, taken or not."""
        return int(self._sink.get_property("stats").get_uint64("rendered").value)

    def coded(self) -> int:
        """Coded pictures that went into the decoder."""
        counter = self._pipeline.get_by_name(FED)
        return int(counter.get_property("stats").get_uint64("num-buffers").value) if counter else 0

    def stop(self) -> None:
        """Stop and free everything. Mapped pictures must have been released. The player is of no use afterwards."""
        if self._pipeline is None:
            return
        self._pipeline.set_state(gst().State.NULL)
        self._bus.set_flushing(True)
        # The handler of the head keeps this player: if it kept the pipeline, neither would ever be freed.
        self._pipeline = self._chain = self._sink = self._bus = None

    def _listen(self) -> None:
        """Empty the bus; keep the first error."""
        while (message := self._bus.pop_filtered(gst().MessageType.ERROR)) is not None:
            error, debug = message.parse_error()
            self._trouble = self._trouble or judge(error.domain, error.code, error.message, debug or "")

    def _raise_trouble(self) -> None:
        if self._refusal is not None:
            raise self._refusal
        if self._succeeded():
            raise BrokenError(Trouble(Kind.DAMAGED, "it goes on as another stream, which is not read: split it there"))
        if self._trouble is None:
            return
        if self._dynamic and self._chain is None and self._seen:
            raise BrokenError(Trouble(Kind.DAMAGED, f"it holds no video, only {', '.join(self._seen)}"))
        raise BrokenError(self._trouble)

    def _await_successor(self) -> None:
        """Where a second stream showed, the end of the first may be a change of programme: its pad goes away then."""
        deadline = time.monotonic() + _SUCCESSION_S
        while self._spare and time.monotonic() < deadline:
            self._raise_trouble()
            time.sleep(_SUCCESSION_S / 50)

    def _succeeded(self) -> bool:
        return self._spare and not self._chain.get_static_pad("sink").is_linked()

    def _on_pad(self, _head: Any, pad: Any) -> None:
        """Runs in a streaming thread: an error is kept for `pull`."""
        try:
            self._attach(pad)
        except SourceError as error:
            self._refusal = error
        except Exception as error:  # nobody else would ever see what is raised in this thread
            self._refusal = SourceError(f"the decoding chain cannot be built: {error}")

    def _attach(self, pad: Any) -> None:
        stream = _stream_name(pad.get_current_caps() or pad.query_caps(None))
        self._seen.append(stream)
        if not stream.startswith(("video/", "image/", "rtp/video/")):
            return
        if self._chain is not None:
            self._spare = True  # a second camera in one file is not read, only the first
            return
        text = decode_chain(stream, self._installed, convert=self._convert, memory=self._memory)
        self._chain = gst().parse_bin_from_description(text, True)
        self._pipeline.add(self._chain)
        self._chain.link(self._sink)
        self._chain.sync_state_with_parent()
        pad.link(self._chain.get_static_pad("sink"))


def _stream_name(caps: Any) -> str:
    """`video/x-h264`, or `rtp/video/H264` for a network stream."""
    fields = caps.get_structure(0)
    if fields.get_name() != "application/x-rtp":
        return str(fields.get_name())
    return f"rtp/{fields.get_string('media')}/{fields.get_string('encoding-name')}"


def media_type(path: str, timeout_s: float) -> str:
    """What kind of file this is, as a caps name, by its content. Raises `BrokenError` where that is not known."""
    pipeline: Any = parse(f"filesrc location={quoted(path)} ! typefind name={HEAD} ! fakesink")
    pipeline.set_state(gst().State.PAUSED)
    kinds = gst().MessageType.ERROR | gst().MessageType.ASYNC_DONE
    message = pipeline.get_bus().timed_pop_filtered(round(timeout_s * 1e9), kinds)
    caps = pipeline.get_by_name(HEAD).get_property("caps")
    pipeline.set_state(gst().State.NULL)
    if message is not None and message.type == gst().MessageType.ERROR:
        error, debug = message.parse_error()
        raise BrokenError(judge(error.domain, error.code, error.message, debug or ""))
    if caps is None:
        raise BrokenError(Trouble(Kind.LOST, f"it cannot be read within {timeout_s:g} s"))
    return str(caps.get_structure(0).get_name())
