"""What is to be measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from msgspec.structs import replace

from edge_alpr.config import Config
from edge_alpr.errors import ConfigError

Pace: TypeAlias = Literal["live", "fast"]
"""live: frames arrive by their media time and the newest wins; fast: as quick as it goes, and none is dropped."""
MOST_PLATES = 12
_SIDES = range(320, 7681)


@dataclass(frozen=True, slots=True)
class Request:
    """`plates` puts so many rendered plates in view of `cameras`, in frames of `size` (width, height), instead of the
    source.

    `duration_s` is None for a recording read once; it counts after the warm-up.
    """

    pace: Pace = "fast"
    plates: int | None = None
    size: tuple[int, int] = (1280, 720)
    duration_s: float | None = None
    warm_up_s: float = 1.0
    cameras: int = 1


def parse_size(text: str) -> tuple[int, int]:
    """`1280x720` as (1280, 720). Raises `ConfigError`."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()) or int(width) not in _SIDES or int(height) not in _SIDES:
        raise ConfigError(f"--size {text}: write WIDTHxHEIGHT in pixels, 320 to 7680 each, e.g. 1280x720")
    return int(width), int(height)


def make_request(
    pace: str,
    sources: Sequence[str] | None,
    plates: int | None,
    size: str | None,
    seconds: tuple[float, float | None],
    cameras: int | None = None,
) -> Request:
    """From the command line; `seconds` are those of the warm-up and of the measurement. Raises `ConfigError`."""
    if pace not in ("live", "fast"):
        raise ConfigError(f"--pace {pace}: choose live or fast")
    if sources and plates is not None:
        raise ConfigError("--plates draws frames of its own; leave out --source, or --plates")
    if size is not None and plates is None:
        raise ConfigError("--size is for drawn frames; a source has its own: leave it out, or add --plates 1")
    if cameras is not None and plates is None:
        raise ConfigError("--cameras is for drawn frames; give --source once for each camera, or add --plates 1")
    drawn = parse_size(size or "1280x720")
    return Request("live" if pace == "live" else "fast", plates, drawn, seconds[1], seconds[0], cameras or 1)


def configure(config: Config, threads: int | None, tier: str | None) -> Config:
    """The configuration with another number of threads or another detector. Raises `ConfigError`."""
    models = config.models
    if tier is not None and tier not in ("large", "small"):
        raise ConfigError(f"--tier {tier}: choose large or small")
    if tier is not None:
        models = replace(models, tier="small" if tier == "small" else "large", detector="")
    if threads is not None:
        models = replace(models, threads=threads)
    return replace(config, models=models)
