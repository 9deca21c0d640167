"""What a local camera can send, asked of its driver."""

from __future__ import annotations

from typing import Any

from edge_alpr.camera.bindings import gst
from edge_alpr.camera.pipelines import Offer
from edge_alpr.camera.trouble import BrokenError, Kind, Trouble


def offers(factory: str, device: str = "") -> tuple[Offer, ...]:
    """The kinds of pictures of a source element, each once, in its own order.

    Opens the camera for a moment. Raises `BrokenError` when that is not possible (busy, no permission).
    """
    source: Any = gst().ElementFactory.make(factory)
    if device:
        source.set_property("device", device)
    if source.set_state(gst().State.READY) == gst().StateChangeReturn.FAILURE:
        source.set_state(gst().State.NULL)
        raise BrokenError(Trouble(Kind.BUSY, "it cannot be opened: in use, or this user is not in the group 'video'"))
    caps = source.get_static_pad("src").query_caps(None).normalize()
    found = [_offer(caps.get_structure(i)) for i in range(caps.get_size())]
    source.set_state(gst().State.NULL)
    return tuple(dict.fromkeys(found))


def _offer(fields: Any) -> Offer:
    media = str(fields.get_name())
    return Offer(media, fields.get_string("format") or "" if media == "video/x-raw" else "")
