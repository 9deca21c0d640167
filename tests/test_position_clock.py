"""The clock that hangs on the monotonic one: whom it believes, and what a jump of the system's clock does to it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_alpr.position import kernel
from edge_alpr.position.clock import AnchoredClock
from edge_alpr.position.estimate import Estimate
from edge_alpr.position.kernel import SystemClock, board_clock_ns, kept_within_ms

S = 10**9
TRUE_NS = 1_780_300_800 * S
"""What time it really is where the monotonic clock shows 0: 2026-06-01, 08:00 UTC."""


@dataclass
class World:
    """A computer whose clock is `wrong_ns` off, `within_ms` of it kept by NTP, with a board's clock and satellites."""

    now_ns: int = 50 * S
    wrong_ns: int = 0
    within_ms: float | None = None
    board_ns: int | None = None
    gps: Estimate | None = None

    def clock(self) -> AnchoredClock:
        clocks = SystemClock(
            lambda: self.now_ns,
            lambda: TRUE_NS + self.now_ns + self.wrong_ns,
            lambda: self.within_ms,
            lambda: self.board_ns,
        )
        return AnchoredClock(clocks, lambda: self.gps)

    def hear_gps(self, error_ms: float = 1000.0) -> None:
        self.gps = Estimate("gps", TRUE_NS, self.now_ns, error_ms)

    def wrong_by_ms(self, clock: AnchoredClock) -> float:
        return clock.epoch_ms() - (TRUE_NS + self.now_ns) / 1e6


UNSET_NS = -TRUE_NS
"""A clock that began in 1970 when the board did."""


@pytest.mark.parametrize(
    ("world", "source", "error_ms"),
    [
        (World(within_ms=12.5), "ntp", 12.5),
        (World(within_ms=12.5, wrong_ns=UNSET_NS), "unset", None),
        (World(), "unset", None),
        (World(wrong_ns=UNSET_NS, board_ns=TRUE_NS), "unset", None),
        (World(board_ns=TRUE_NS + 50 * S), "rtc", None),
        (World(board_ns=TRUE_NS + 50 * S, wrong_ns=3600 * S), "unset", None),
        (World(gps=Estimate("gps", TRUE_NS, 50 * S, 1000.0)), "gps", 1000.0),
        (World(within_ms=12.5, gps=Estimate("gps", TRUE_NS, 50 * S, 1000.0)), "ntp", 12.5),
        (World(within_ms=12.5, gps=Estimate("gps", TRUE_NS, 50 * S, 1.0)), "gps", 1.0),
    ],
)
def test_the_source_with_the_least_error_is_believed(world: World, source: str, error_ms: float | None) -> None:
    clock = world.clock()
    clock.epoch_ms()
    assert (clock.source(), clock.error_ms()) == (source, error_ms)


def test_a_clock_that_was_never_set_is_right_from_the_first_fix_on_and_for_moments_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(wrong_ns=UNSET_NS)
    clock = world.clock()
    assert clock.epoch_ms() == 50_000 and clock.source() == "unset"
    world.now_ns += 10 * S
    world.hear_gps()
    assert world.wrong_by_ms(clock) == 0 and clock.source() == "gps"
    assert clock.at(50 * S) == TRUE_NS // 1_000_000 + 50_000
    assert "clock: set forwards by 20605 days, 8:00:00 (gps)" in caplog.text


@pytest.mark.parametrize("jump_s", [-86_400, -3, 3, 86_400, 10**9])
@pytest.mark.parametrize("known", ["ntp", "gps"])
def test_what_was_known_is_not_given_up_for_a_jump_of_a_clock_that_nobody_keeps(jump_s: int, known: str) -> None:
    world = World(within_ms=10.0) if known == "ntp" else World()
    clock = world.clock()
    if known == "gps":
        world.hear_gps(10.0)
    clock.epoch_ms()
    world.now_ns += 100 * S
    world.within_ms, world.wrong_ns = None, jump_s * S  # settimeofday() ends what NTP said, too
    assert world.wrong_by_ms(clock) == 0 and clock.source() == known
    assert clock.error_ms() == pytest.approx(20.0), "a drift of 100 ppm"


def test_a_wrong_clock_that_ntp_sets_back_is_believed_at_once() -> None:
    world = World(wrong_ns=3600 * S)
    clock = world.clock()
    world.now_ns += S
    world.wrong_ns, world.within_ms = 0, 20.0
    assert world.wrong_by_ms(clock) == 0 and clock.source() == "ntp"


def test_sources_that_contradict_each_other_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    world = World(within_ms=5.0, wrong_ns=7200 * S)
    world.hear_gps()
    clock = world.clock()
    for _ in range(3):
        clock.epoch_ms()
    assert caplog.text.count("GPS and NTP are 2:00:00 apart") == 1


def test_a_small_correction_is_made_gradually() -> None:
    world = World(within_ms=5.0, wrong_ns=int(0.8 * S))
    clock = world.clock()
    told = [clock.epoch_ms()]
    world.wrong_ns = 0
    for _ in range(100):
        world.now_ns += S // 10
        told.append(clock.epoch_ms())
    assert told == sorted(told) and world.wrong_by_ms(clock) == 0
    assert max(b - a for a, b in pairwise(told)) <= 100


steps = st.tuples(
    st.integers(0, 20 * S),
    st.one_of(st.integers(-S + 1, S - 1), st.integers(-(10**10) * S, 10**10 * S), st.just(UNSET_NS)),
    st.one_of(st.none(), st.floats(0, 16_000)),
    st.one_of(st.none(), st.floats(0.5, 2000)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=30))
def test_whatever_the_clocks_do_it_goes_back_only_by_a_second_or_more_and_with_a_line_in_the_log(
    happens: list[tuple[int, int, float | None, float | None]],
) -> None:
    world = World()
    clock = world.clock()
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("edge_alpr.position.clock")
    logger.addHandler(handler)
    try:
        before = clock.epoch_ms()
        for elapsed_ns, wrong_ns, within_ms, gps_ms in happens:
            world.now_ns += elapsed_ns
            world.wrong_ns, world.within_ms = wrong_ns, within_ms
            if gps_ms is not None:
                world.hear_gps(gps_ms)
            lines.clear()
            now = clock.epoch_ms()
            assert now >= before or any("set back" in line for line in lines)
            error_ms = clock.error_ms()
            assert error_ms is None or error_ms >= 0
            assert clock.at(world.now_ns) - clock.at(world.now_ns - 5 * S) == 5000, "durations are always right"
            before = now
    finally:
        logger.removeHandler(handler)


# --- the real kernel


def test_the_kernel_is_asked_without_privilege() -> None:
    within_ms = kept_within_ms()
    assert within_ms is None or 0 <= within_ms < 60_000


def test_the_status_is_read_at_its_place_in_the_structure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's own structure: <sys/timex.h> of 64-bit Linux puts maxerror at 24 and status at 40."""

    class Libc:
        def adjtimex(self, asked: object) -> int:
            raw = (kernel.ctypes.c_char * 208).from_buffer(asked._obj)  # type: ignore[attr-defined]
            raw[24:32] = (123_456).to_bytes(8, "little")
            raw[40:44] = status.to_bytes(4, "little")
            return 0

    monkeypatch.setattr(kernel.ctypes, "CDLL", lambda _name: Libc())
    status = 0x2001
    assert kept_within_ms() == 123.456
    status = 0x2041
    assert kept_within_ms() is None


def test_the_board_s_clock_is_the_first_that_was_set(tmp_path: Path) -> None:
    assert board_clock_ns(tmp_path) is None
    for name, shown in (("rtc0", "946684800"), ("rtc1", "1780300800"), ("rtc2", "x")):
        (tmp_path / "sys/class/rtc" / name).mkdir(parents=True)
        (tmp_path / "sys/class/rtc" / name / "since_epoch").write_text(f"{shown}\n", encoding="ascii")
    assert board_clock_ns(tmp_path) == 1_780_300_800 * S
