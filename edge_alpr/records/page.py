"""The evidence page: one HTML file that holds all of a passage, and shows it without any other file or network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template

from edge_alpr.sinks.wire import encode_event
from edge_alpr.types import Event


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A passage: its states in order, its pictures (JPEG or PNG, empty where none is kept), and its marks."""

    states: tuple[Event, ...]
    plate: bytes
    frame: bytes
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who made the page: times are text; `key` is the public key, hexadecimal; the audit log as it was before."""

    exported: str
    who: str
    software: str
    key: str
    audit_lines: int
    audit_head: str


def render(exhibits: Sequence[Exhibit], provenance: Provenance) -> str:
    """The page, not yet signed."""
    template = Template(resources.files(__package__).joinpath("evidence.html").read_text("utf-8"))
    events = [encode_event(event).decode() for exhibit in exhibits for event in exhibit.states]
    plates = ", ".join(exhibit.states[-1].plate for exhibit in exhibits)
    devices = {event.device_id for exhibit in exhibits for event in exhibit.states}
    return template.substitute(
        title=escape(f"Number plate {plates}" if len(exhibits) == 1 else f"{len(exhibits)} number plates"),
        exported=escape(provenance.exported),
        who=escape(provenance.who),
        software=escape(provenance.software),
        device=escape(", ".join(sorted(devices))),
        key=escape(provenance.key),
        audit_lines=provenance.audit_lines,
        audit_head=escape(provenance.audit_head),
        articles="\n".join(map(_article, exhibits)),
        json="[{}]".format(",".join(events)).replace("<", "\\u003c"),
    )


def _article(exhibit: Exhibit) -> str:
    event = exhibit.states[-1]
    return f"""<article>
<div class="head"><span class="plate">{escape(event.plate)}</span>
<span>probability that this text is right <b>{event.score:.1%}</b><br>
<span class="state {event.state}">{event.state}</span>{escape(_hit(event))}</span></div>
<h2>Pictures</h2>
<div class="pictures">{_figure("frame", "Scene", exhibit.frame)}{_figure("crop", "Plate", exhibit.plate)}</div>
<h2>How it was read</h2>
{_characters(event)}
<p>{event.reads} frames gave a text; {event.agreement:.0%} of them said {escape(event.plate)} (O as 0, I as 1).</p>
{_candidates(event)}
<h2>When, where, what with</h2>
{_facts(exhibit)}
</article>"""


def _hit(event: Event) -> str:
    if event.match is None:
        return ", on no list"
    return f", {event.match.kind} hit of {event.match.entry} on the list {event.match.list}"


def _figure(kind: str, name: str, picture: bytes) -> str:
    if not picture:
        return f'<p class="soft">{name}: no picture was kept.</p>'
    mime = "image/png" if picture.startswith(b"\x89PNG") else "image/jpeg"
    data, digest = base64.b64encode(picture).decode(), hashlib.sha256(picture).hexdigest()
    return f"""<figure class="{kind}"><img alt="{name}" src="data:{mime};base64,{data}">
<figcaption>{name}, {len(picture)} bytes, SHA-256 <span class="mono">{digest}</span></figcaption></figure>"""


def _characters(event: Event) -> str:
    boxes = "".join(
        f"<div><b>{escape(character)}</b>{score:.1%}</div>"
        for character, score in zip(event.plate, event.char_scores, strict=False)
    )
    return f'<div class="chars">{boxes}</div>'


def _candidates(event: Event) -> str:
    rows = (
        f'<tr><th class="mono">{escape(c.plate)}</th><td>{c.score:.2%}</td>'
        f'<td style="width:60%"><span class="bar" style="width:{100 * c.score:.2f}%"></span></td></tr>'
        for c in event.candidates
    )
    return f"<table>{''.join(rows)}</table>"


def _facts(exhibit: Exhibit) -> str:
    event = exhibit.states[-1]
    facts = [
        ("Time (UTC)", event.timestamp),
        ("Clock set by", _clock(event)),
        ("Seen", f"{event.epoch_start} to {event.epoch_end} ms since 1970, UTC"),
        ("Place", _named(event.gps) or "not known"),
        ("Camera", f"{event.camera_id} of {event.device_id}"),
        ("Corners in the frame", ", ".join(f"({point.x:.1f}, {point.y:.1f})" for point in event.coordinates)),
        *((f"Network: {name}", identity) for name, identity in event.models.items()),
        ("Passage", f"{event.uuid}, track {event.track_id}"),
        ("States", "; ".join(f"{s.state} as {s.plate} at {s.timestamp} (seq {s.seq})" for s in exhibit.states)),
        ("Marks", ", ".join(exhibit.marks) or "none"),
    ]
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts)
    return f"<table>{rows}</table>"


def _clock(event: Event) -> str:
    error = getattr(event, "clock_error_ms", None)
    return event.clock_source if error is None else f"{event.clock_source}, within {error:g} ms"


def _named(numbers: dict[str, float]) -> str:
    return ", ".join(_pairs(numbers.items()))


def _pairs(items: Iterable[tuple[str, float]]) -> Iterable[str]:
    return (f"{name} {value:g}" if name not in ("lat", "lon") else f"{name} {value:.6f}" for name, value in items)
