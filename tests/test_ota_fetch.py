"""Downloads over a line that breaks: nothing is fetched twice, and nothing is in place before it is whole."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ota_server import Fault, Handler, Server, changed, cut, no_ranges, serve, status

from edge_alpr.errors import UpdateError, UpdateRefusedError, UpdateSpaceError, UpdateUnreachableError
from edge_alpr.ota.fetch import Http
from edge_alpr.ota.fetch_pace import Link, Pace
from edge_alpr.ota.fetch_target import TargetFetcher, address
from edge_alpr.ota.types import Progress, Target

DATA = random.Random(7).randbytes(3 << 20)
TARGET = Target("models/models-2.0.tar", "models", "2.0", len(DATA), hashlib.sha256(DATA).hexdigest())
NAME = f"image/targets/{address(TARGET)}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    file = tmp_path / "served" / NAME
    file.parent.mkdir(parents=True)
    file.write_bytes(DATA)
    with serve(tmp_path / "served") as world:
        yield world


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "models.tar"


def part_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def fetcher(server: Server, stop: threading.Event | None = None, **link: Any) -> TargetFetcher:
    return TargetFetcher(Http(Link(server.url, **{"pause_s": 0.01, "reserve_bytes": 0, **link}), stop))


def quiet(*_: int) -> None: ...


def test_a_file_is_there_whole_and_its_progress_was_told(server: Server, path: Path):
    told: list[tuple[int, int]] = []

    fetcher(server).fetch(TARGET, path, lambda *done: told.append(done))

    assert path.read_bytes() == DATA
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert told == sorted(told)
    assert told[-1] == (len(DATA), len(DATA))


def test_a_connection_that_is_cut_again_and_again_fetches_nothing_twice(server: Server, path: Path):
    server.faults = {NAME: cut(100_000, times=25)}

    fetcher(server).fetch(TARGET, path, quiet)

    assert path.read_bytes() == DATA
    assert server.sent[NAME] == len(DATA)
    assert len(server.asked) == 26


def test_the_next_start_goes_on_where_the_last_one_ended(server: Server, path: Path):
    server.faults = {NAME: cut(50_000, times=1)}
    with pytest.raises(UpdateUnreachableError, match="bytes early"):
        fetcher(server, tries=1).fetch(TARGET, path, quiet)
    assert part_of(path).stat().st_size == 50_000
    assert not path.exists()

    fetcher(server).fetch(TARGET, path, quiet)

    assert path.read_bytes() == DATA
    assert server.sent[NAME] == len(DATA)


def stopping_at(count: int, error: BaseException) -> Progress:
    def progress(done: int, _: int) -> None:
        if done >= count:
            raise error

    return progress


def test_what_the_progress_raises_ends_it_and_keeps_what_came(server: Server, path: Path):
    with pytest.raises(KeyboardInterrupt):
        fetcher(server).fetch(TARGET, path, stopping_at(500_000, KeyboardInterrupt()))

    assert 500_000 <= part_of(path).stat().st_size < len(DATA)
    assert part_of(path).read_bytes() == DATA[: part_of(path).stat().st_size]


def test_a_stop_ends_a_limited_download_at_once(server: Server, path: Path):
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    begin = time.monotonic()

    with pytest.raises(UpdateUnreachableError, match="was stopped"):
        fetcher(server, stop, bandwidth_bytes_s=10_000, tries=9).fetch(TARGET, path, quiet)

    assert time.monotonic() - begin < 3
    assert part_of(path).stat().st_size < 20_000


def test_a_file_that_is_there_already_costs_nothing(server: Server, path: Path):
    fetcher(server).fetch(TARGET, path, quiet)
    fetcher(server).fetch(TARGET, path, quiet)

    assert server.sent[NAME] == len(DATA)


@pytest.mark.parametrize("wrong", [DATA[:-1] + b"?", b"", DATA + b"?"])
def test_a_file_that_is_there_and_wrong_is_fetched_anew(wrong: bytes, server: Server, path: Path):
    path.parent.mkdir()
    path.write_bytes(wrong)

    fetcher(server).fetch(TARGET, path, quiet)

    assert path.read_bytes() == DATA


@pytest.mark.parametrize("kept", [b"?" * 1000, DATA[:-1] + b"?", DATA + b"?", bytes(len(DATA))])
def test_a_part_that_is_wrong_is_thrown_away_once_and_fetched_anew(kept: bytes, server: Server, path: Path):
    path.parent.mkdir()
    part_of(path).write_bytes(kept)

    fetcher(server).fetch(TARGET, path, quiet)

    assert path.read_bytes() == DATA
    assert server.sent[NAME] == max(len(DATA) - len(kept), 0) + len(DATA)


def test_a_wrong_file_is_not_fetched_for_ever(server: Server, path: Path):
    server.faults = {NAME: changed(lambda data: data[:-1] + b"?")}

    with pytest.raises(UpdateRefusedError, match="not what was signed"):
        fetcher(server).fetch(TARGET, path, quiet)

    assert server.sent[NAME] == len(DATA)
    assert list(path.parent.iterdir()) == []


def test_a_server_that_knows_no_ranges_keeps_what_is_there(server: Server, path: Path):
    path.parent.mkdir()
    part_of(path).write_bytes(DATA[:2_000_000])
    server.faults = {NAME: no_ranges()}

    fetcher(server).fetch(TARGET, path, quiet)

    assert path.read_bytes() == DATA


def without_length(handler: Handler, data: bytes) -> None:
    """Less than all, and no word of how much it is."""
    handler.head(200, None)
    handler.hang_up()
    handler.body(data[:1000])


def part(told: str, count: int = 10) -> Fault:
    def fault(handler: Handler, data: bytes) -> None:
        handler.head(206, count, {"Content-Range": told} if told else {})
        handler.body(data[:count])

    return fault


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        (without_length, UpdateUnreachableError, "ended early"),
        (part(""), UpdateRefusedError, "another part"),
        (part("bytes 999-1008/*"), UpdateRefusedError, "another part"),
        (part("bytes 1000-1009/1010"), UpdateRefusedError, "bytes long that were signed"),
        (status(416), UpdateRefusedError, "bytes long that were signed"),
        (status(418), UpdateUnreachableError, "HTTP 418"),
    ],
)
def test_odd_answers_to_a_range_are_refused(
    fault: Fault, error: type[UpdateError], text: str, server: Server, path: Path
):
    path.parent.mkdir()
    part_of(path).write_bytes(DATA[:1000])
    server.faults = {NAME: fault}

    with pytest.raises(error, match=text):
        fetcher(server, tries=2).fetch(TARGET, path, quiet)

    assert not path.exists()
    server.faults = {}
    fetcher(server).fetch(TARGET, path, quiet)
    assert path.read_bytes() == DATA


def test_a_server_that_is_away_is_tried_again_with_growing_pauses(path: Path):
    pauses: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0)
            return False

    link = Link("http://127.0.0.1:9", tries=6, pause_s=1, reserve_bytes=0)
    with pytest.raises(UpdateUnreachableError, match="Connection refused"):
        TargetFetcher(Http(link, Stop())).fetch(TARGET, path, quiet)

    assert len(pauses) == 5
    assert all(pause <= 2**number for number, pause in enumerate(pauses))


def test_a_file_takes_no_more_than_the_bandwidth(server: Server, path: Path):
    begin = time.monotonic()
    fetcher(server, bandwidth_bytes_s=4 << 20).fetch(TARGET, path, quiet)

    assert time.monotonic() - begin >= 0.9 * len(DATA) / (4 << 20)


class Line:
    """A line with its own time: what the pace says of it."""

    def __init__(self, **link: Any) -> None:
        self.now_s = self.waited_s = 0.0
        self.pace = Pace(Link("http://localhost", **link), self.wait, lambda: self.now_s)

    def wait(self, seconds: float) -> bool:
        self.waited_s += seconds
        self.now_s += seconds
        return False

    def gives(self, count: int, every_s: float, times: int) -> None:
        for _ in range(times):
            self.now_s += every_s
            self.pace.took(count)


def test_a_limit_is_kept_and_a_pause_earns_no_burst():
    line = Line(bandwidth_bytes_s=1000)
    line.gives(250, 0, 40)
    assert line.now_s == pytest.approx(10)
    line.gives(0, 9, 1)
    line.gives(250, 0, 40)
    assert line.now_s == pytest.approx(29)


def test_no_limit_never_waits():
    line = Line()
    line.gives(65536, 0.001, 1000)
    assert line.waited_s == 0


@pytest.mark.parametrize("link", [{}, {"bandwidth_bytes_s": 500}])
def test_a_line_that_is_slow_but_lives_is_borne(link: dict[str, Any]):
    Line(**link).gives(600, 0.5, 500)


@pytest.mark.parametrize("link", [{}, {"bandwidth_bytes_s": 500}])
def test_a_line_that_drips_is_given_up(link: dict[str, Any]):
    with pytest.raises(UpdateUnreachableError, match="too slow"):
        Line(**link).gives(100, 0.5, 70)


def test_what_is_not_there_any_more_gives_no_room(server: Server, path: Path):
    """The room is looked at before, and again while it comes: the reader fills the disk too."""
    free = iter([10 << 20, 0])
    http = Http(Link(server.url, reserve_bytes=0))
    server_side = TargetFetcher(http, lambda _: next(free))

    big = random.Random(1).randbytes(9 << 20)
    target = Target("big", "image", "1", len(big), hashlib.sha256(big).hexdigest())
    (server.folder / "image/targets" / address(target)).write_bytes(big)
    with pytest.raises(UpdateSpaceError, match="MB free"):
        server_side.fetch(target, path, quiet)

    assert list(path.parent.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(server: Server, tmp_path: Path):
    (tmp_path / "downloads").write_text("a file")
    with pytest.raises(UpdateError, match="is the data partition well"):
        fetcher(server).fetch(TARGET, tmp_path / "downloads" / "models.tar", quiet)


@pytest.mark.parametrize(
    ("url", "good"),
    [("https://ota.example/cars", True), ("http://localhost:80", True), ("http://127.8.8.8", True),
     ("http://[::1]:8000/x", True), ("http://ota.example", False), ("http://127.evil.example", False),
     ("http://10.0.0.1", False), ("ftp://localhost", False), ("file:///etc/passwd", False), ("ota.example", False),
     ("", False), ("https://", False), ("http://localhost@ota.example", False), ("https://[x", False)],
)  # fmt: skip
def test_only_https_leaves_the_car(url: str, good: bool):
    if good:
        Http(Link(url))
    else:
        with pytest.raises(UpdateError, match="mend it in"):
            Http(Link(url))


def test_what_was_fetched_is_synced_before_it_is_in_place(server: Server, path: Path, monkeypatch: pytest.MonkeyPatch):
    done: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(handle: int) -> None:
        done.append(f"sync {Path(f'/proc/self/fd/{handle}').readlink().name}")
        real_sync(handle)

    def replace(self: Path, to: Path) -> Path:
        done.append(f"rename {self.name}")
        return real_replace(self, to)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    fetcher(server).fetch(TARGET, path, quiet)

    assert done == ["sync models.tar.part", "rename models.tar.part", "sync downloads"]
