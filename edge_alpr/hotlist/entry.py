"""What stands in a list: its head, its entries, and the lines that are none."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec

LONGEST = 16
"""Characters of the longest text; no plate has more."""
MOST_PATTERN = 120
"""Characters of the longest pattern."""
NOTE_LENGTH, SHOWN_LENGTH, NAME_LENGTH = 200, 32, 64

Kind: TypeAlias = Literal["text", "wildcard", "regex"]
_KINDS: dict[str, Kind] = {"exact": "text", "text": "text", "plate": "text", "wildcard": "wildcard", "regex": "regex"}
_LOOKALIKES = str.maketrans(
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0406\u0405", "ABEKMHOPCTYXIS"
)
"""Cyrillic letters that plates share with the Latin alphabet."""
_BETWEEN = str.maketrans("", "", " -.·•:/_\t\u00a0\u2013")
_TEXT = re.compile(r"[A-Z0-9]{2,16}")
_WILDCARD = re.compile(r"[A-Z0-9*?]+")
_COLOR = re.compile(r"#[0-9a-fA-F]{3,8}|[a-zA-Z]{1,24}")
_SOUND = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}")


class Fault(msgspec.Struct, frozen=True):
    """A line (from 1; 0: the whole file) or an entry of a JSON list that is passed over, and why."""

    line: int
    reason: str


class Entry(msgspec.Struct, frozen=True):
    """One plate or pattern. `text` is A-Z and 0-9, or a regular expression; `shown` as the list spells it.

    `expires_s` is in seconds since 1970, UTC; 0: never.
    """

    text: str
    line: int
    kind: Kind = "text"
    expires_s: int = 0
    shown: str = ""
    note: str = ""


class ListInfo(msgspec.Struct, frozen=True):
    """The head of a list. Times in seconds since 1970, UTC; 0: not given."""

    name: str
    priority: int = 0
    """Higher is more urgent."""
    color: str = ""
    sound: str = ""
    source: str = ""
    issued_s: int = 0
    expires_s: int = 0


def plain_text(text: str) -> str:
    """A plate as it is compared: upper case, no spaces, hyphens, accents; letters drawn as Latin ones are those."""
    text = text.upper().translate(_BETWEEN)
    if text.isascii():
        return text
    parts = unicodedata.normalize("NFKD", text.translate(_LOOKALIKES))
    return "".join(c for c in parts if not unicodedata.combining(c)).translate(_BETWEEN)


def make_entry(cell: str, line: int, kind: str = "", expires: str = "", note: str = "") -> Entry | Fault:
    """One entry of a list, or what is wrong with it. `kind` empty: as the text looks (`*`, `?`, `/expression/`)."""
    cell = cell.strip()
    expires_s = moment(expires, ends=True) if expires else 0
    if expires_s is None:
        return Fault(line, f"'{_short(expires)}' is no date; write 2026-12-31 or 2026-12-31T18:00Z")
    if not kind:
        text = plain_text(cell)
        if _TEXT.fullmatch(text):  # by far the most
            shown = "" if text == cell else cell[:SHOWN_LENGTH]
            return Entry(text, line, "text", expires_s, shown, note[:NOTE_LENGTH])
    wanted = _KINDS.get(kind.lower()) if kind else _looks_like(cell)
    if wanted is None:
        return Fault(line, f"'{_short(kind)}' is no kind; known: {', '.join(_KINDS)}")
    made, wrong = _text_of(cell, wanted)
    if wrong:
        return Fault(line, wrong)
    return Entry(made, line, wanted, expires_s, cell[:SHOWN_LENGTH], note[:NOTE_LENGTH])


def _looks_like(cell: str) -> Kind:
    if len(cell) > 2 and cell[0] == cell[-1] == "/":
        return "regex"
    return "wildcard" if "*" in cell or "?" in cell else "text"


def _text_of(cell: str, kind: Kind) -> tuple[str, str]:
    """The text of an entry, and what is wrong with it."""
    if kind == "regex":
        text = cell[1:-1] if len(cell) > 2 and cell[0] == cell[-1] == "/" else cell
        return text, "" if 0 < len(text) <= MOST_PATTERN else f"an expression has 1 to {MOST_PATTERN} characters"
    text = plain_text(cell)
    if kind == "text" and _TEXT.fullmatch(text):
        return text, ""
    if kind == "wildcard":
        text = re.sub(r"\*+", "*", text)
        if len(text) > MOST_PATTERN or not _WILDCARD.fullmatch(text):
            return "", f"'{_short(cell)}' is no wildcard; it has letters, digits, * and ?"
        named = len(text.replace("*", "").replace("?", ""))
        return text, "" if named > 1 else "a wildcard names two characters or more"
    return "", f"'{_short(cell)}' is no plate; it has 2 to {LONGEST} letters and digits"


@lru_cache(maxsize=4096)
def moment(text: str, ends: bool = False) -> int | None:
    """Seconds since 1970 of a date or a time (UTC where it names no zone); a day that `ends` lasts until midnight.

    None where it is neither.
    """
    text = text.strip()
    try:
        when = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in "Zz" and text else text)
        when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
        if ends and len(text) == 10:
            when += timedelta(days=1)
        seconds = int(when.timestamp())
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < 1 << 32 else None


def with_head(info: ListInfo, key: str, value: str) -> ListInfo | str:
    """The head with one more of its values, or what is wrong with it. Unknown keys change nothing."""
    replace, value = msgspec.structs.replace, value.strip()
    if key == "priority":
        ok = re.fullmatch(r"[+-]?\d{1,4}", value)
        return replace(info, priority=int(value)) if ok else f"priority '{_short(value)}' is no whole number to 9999"
    if key in ("color", "colour"):
        return replace(info, color=value) if _COLOR.fullmatch(value) else f"'{_short(value)}' is no colour, as #ff8800"
    if key == "sound":
        return replace(info, sound=value) if _SOUND.fullmatch(value) else f"'{_short(value)}' is no name of a sound"
    if key in ("issued", "expires"):
        when = moment(value, ends=key == "expires")
        return f"{key} '{_short(value)}' is no date" if when is None else replace(info, **{f"{key}_s": when})
    if key in ("name", "source"):
        clean = "".join(c for c in value if c.isprintable())[:NAME_LENGTH]
        return replace(info, **{key: clean}) if clean else f"the {key} is empty"
    return info


def _short(text: str) -> str:
    """A piece of somebody's file for a message: printable, and not long."""
    return "".join(c if c.isprintable() else "?" for c in text[:24]) + ("…" if len(text) > 24 else "")
