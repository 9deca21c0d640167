"""The one door to GStreamer: `gi` is imported on first use, so that the package imports without it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from edge_alpr.camera.decoders import KNOWN_ELEMENTS
from edge_alpr.errors import MissingElementError, SourceError

PACKAGES = "python3-gi python3-gst-1.0 gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0"


@dataclass(frozen=True, slots=True)
class _Libraries:
    gst: Any
    video: Any
    error: type[Exception]


@lru_cache(maxsize=1)
def _libraries() -> _Libraries:
    """Import and initialise once. All namespaces come before `init`: GstVideo warns when it comes later."""
    try:
        import gi  # noqa: PLC0415

        for name in ("Gst", "GstApp", "GstVideo"):
            gi.require_version(name, "1.0")
        from gi.repository import GLib, Gst, GstApp, GstVideo  # noqa: F401, PLC0415

        if Gst.Buffer.__module__ != "gi.overrides.Gst":
            raise ImportError("no Python overrides for Gst")
    except (ImportError, ValueError) as error:
        raise MissingElementError(
            f"GStreamer for Python is not usable here ({error}); install it: sudo apt-get install {PACKAGES}, "
            "and make the virtual environment with --system-site-packages"
        ) from error
    Gst.init(None)
    if not Gst.is_initialized():
        raise MissingElementError("GStreamer does not start; try: gst-inspect-1.0 appsink")
    return _Libraries(Gst, GstVideo, GLib.Error)


def gst() -> Any:
    """The `Gst` namespace, initialised. Raises `MissingElementError` when the binding is not installed."""
    return _libraries().gst


def gst_video() -> Any:
    """The `GstVideo` namespace (layout and metadata of pictures); raises like `gst`."""
    return _libraries().video


def parse(text: str) -> Any:
    """A pipeline from its text. Raises `SourceError` where its elements do not fit together."""
    try:
        return gst().parse_launch(text)
    except _libraries().error as error:
        raise SourceError(f"the pipeline cannot be built ({error}); its text is: {text}") from error


def installed() -> frozenset[str]:
    """Which of the elements that the tables know are installed here."""
    find = gst().ElementFactory.find
    return frozenset(name for name in KNOWN_ELEMENTS if find(name) is not None)
