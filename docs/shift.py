"""Eight hours in a car in sixteen minutes: all processes at work, a clock that runs 30 times, a broker that comes and goes.

    python docs/shift.py [--hours 8] [--speed 30] [--fps 0.5] [--cars 600] [--away 30] [--every 180]

Drawn cars (`--cars` an hour, a tenth of them on two hot lists, none seen twice within an hour) pass a camera of `--fps`
pictures a simulated second, which the real networks read. What counts in frames' time (tracks, cool-down) and the 15
minutes after which passages are forgotten run `--speed` times; the rest (heartbeat, pauses of links) by the clock.
Every `--every` seconds of the run the broker is away for `--away`; each 2 minutes a hot list grows. A watcher of the store
notes each event as soon as it is stored: the broker's and the screen's listeners are held against that.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
from beside import Beside, Ports, usage, write_config
from typing_extensions import Self

from edge_alpr.bench.rendered import ground, vehicle
from edge_alpr.config import StoreConfig, load_config
from edge_alpr.drive import Drive, Probe, Screen
from edge_alpr.errors import StoreError
from edge_alpr.sinks.view import StoreView
from edge_alpr.types import Event, Frame, SourceCounters, SourceInfo

SIZE, PLATE_PX, STEP_PX = (1280, 720), 110, 2
PLACES = ((220, 330), (640, 330), (1060, 330), (220, 600), (640, 600), (1060, 600))
IN_VIEW_S, GAP_S, AGAIN_S = 8.0, 5.0, 3600.0
"""How long a car is seen, how long its place stays empty then, and how soon it may come again; simulated seconds."""
FORGET_MIN = 15.0
QUOTA_MB = 20.0
LETTERS, DIGITS = "ABCDEFGHJKLMNPRSTUVWXYZ", "0123456789"
SAMPLE_S, LIST_S = 5.0, 120.0


@dataclass(frozen=True)
class Shift:
    """What is asked for."""

    hours: float
    speed: float
    fps: float
    cars: float
    away: float
    every: float

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.hours * 3600 / self.speed


def plates(number: int) -> list[str]:
    """So many texts, the same each time; the first tenth is listed."""
    chance = random.Random(7)

    def some(of: str, count: int) -> str:
        return "".join(chance.choice(of) for _ in range(count))

    return [some(LETTERS, 2) + some(DIGITS, 2) + some(LETTERS, 3) for _ in range(number)]


@dataclass
class Traffic:
    """A `FrameSource`: a live camera whose stamps run `speed` times the monotonic clock. No frame is dropped."""

    shift: Shift
    passed: int = 0
    listed: int = 0
    late_s: float = 0.0
    info: SourceInfo = field(default_factory=lambda: SourceInfo("a shift, drawn", live=True))
    counters: SourceCounters = field(default_factory=SourceCounters)
    closed: bool = False

    def __iter__(self) -> Iterator[Frame]:
        shift, chance, begin_ns = self.shift, random.Random(3), time.monotonic_ns()
        texts, back = plates(round(2 * shift.cars)), ground(*SIZE)
        there: dict[int, tuple[str, float]] = {}
        seen: dict[str, float] = {}
        for index in range(round(shift.hours * 3600 * shift.fps)):
            now_s = index / shift.fps
            there = {place: car for place, car in there.items() if now_s - car[1] < IN_VIEW_S + GAP_S}
            free = [place for place in range(len(PLACES)) if place not in there]
            if free and chance.random() < shift.cars / 3600 / shift.fps:
                text = chance.choice([text for text in texts if now_s - seen.get(text, -AGAIN_S) >= AGAIN_S])
                seen[text], there[chance.choice(free)] = now_s, (text, now_s)
                self.passed, self.listed = self.passed + 1, self.listed + (text in texts[: len(texts) // 10])
            picture = back.copy()
            for place, (text, since_s) in there.items():
                if now_s - since_s < IN_VIEW_S:
                    moved = round((now_s - since_s) * STEP_PX)
                    vehicle(picture, (PLACES[place][0] + moved, PLACES[place][1] + moved), PLATE_PX, text)
            due_s = begin_ns / 1e9 + now_s / shift.speed
            time.sleep(max(0.0, due_s - time.monotonic()))
            self.late_s = max(self.late_s, time.monotonic() - due_s)
            if self.closed:
                return
            self.counters.frames += 1
            yield Frame(picture, index, begin_ns + round(now_s * 1e9), time.time_ns() // 1_000_000)

    def close(self) -> None:
        """End the iteration."""
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(config: Path, shift: Shift) -> None:
    """The reader, in a process of its own."""
    traffic = Traffic(shift)
    summary = Drive(load_config(config), Screen(), Probe(lambda _: traffic)).run()
    print(json.dumps({"frames": summary.frames, "cars": traffic.passed, "listed cars": traffic.listed,
                      "confirmed": summary.confirmed, "withdrawn": summary.withdrawn,
                      "latest frame, s": round(traffic.late_s, 1)}))  # fmt: skip


class Ledger:
    """Every event, as soon as it is stored."""

    def __init__(self, folder: Path) -> None:
        self.events: list[Event] = []
        self._folder = folder
        self._view: StoreView | None = None

    def look(self) -> None:
        """Note what is new."""
        try:
            self._view = self._view or StoreView(self._folder)
            while self._view.changed() and (new := self._view.after(self._last(), 1000)):
                self.events += new
        except StoreError as error:
            if self.events:
                print(f"ledger: {error}", flush=True)

    def kept(self) -> tuple[int, list[Event], int]:
        """The last number given, what the store still has of it all, and how many of that are no hits' passages."""
        with StoreView(self._folder) as view:
            events, last = view.newest(1_000_000), view.last_seq()
        hits = {event.uuid for event in events if event.match}
        return last, events, len({event.uuid for event in events} - hits)

    def _last(self) -> int:
        return self.events[-1].seq if self.events else 0


@dataclass
class Samples:
    """Resident KB of each process and sizes of each file over the run."""

    minutes: list[float] = field(default_factory=list)
    rss: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    sizes: dict[str, list[int]] = field(default_factory=dict)

    def take(self, minutes: float, pids: dict[str, int], store: Path) -> None:
        """One of each."""
        self.minutes.append(minutes)
        for name, pid in pids.items():
            self.rss.setdefault(name, []).append((minutes, usage(pid).rss_kb))
        sizes = {name: (store / name).stat().st_size if (store / name).exists() else 0 for name in
                 ("events.sqlite3", "events.sqlite3-wal", "uplink.sqlite3", "uplink.sqlite3-wal")}  # fmt: skip
        sizes["pictures"] = sum(size_of(path) for path in (store / "pictures").rglob("*.jpg"))
        for name, size in sizes.items():
            self.sizes.setdefault(name, []).append(size)

    def show(self) -> None:
        """Growth over the last two thirds, and the largest sizes of each half."""
        for name, taken in self.rss.items():
            late = [(at, kb) for at, kb in taken if at >= self.minutes[-1] / 3]
            if name == "broker" or len(late) < 5:  # the broker is a new process each time
                continue
            fit, spread = np.polyfit(*np.array(late, float).T, 1, cov=True)
            most = max(kb for _, kb in taken) / 1024
            at_third, at_end = late[0][1] / 1024, late[-1][1] / 1024
            print(f"{name}: {at_third:.1f} MB after a third, {at_end:.1f} MB at the end, {most:.1f} MB at most, "
                  f"{fit[0]:+.1f} KB a minute, standard error {spread[0, 0] ** 0.5:.1f}")  # fmt: skip
        for name, sizes in self.sizes.items():
            half = len(sizes) // 2
            print(f"{name}: at most {max(sizes[:half]) / 1e6:.2f} MB in the first half, {max(sizes[half:]) / 1e6:.2f} in "
                  f"the second, {sizes[-1] / 1e6:.2f} at the end")  # fmt: skip


def size_of(path: Path) -> int:
    """0 for one that was deleted just now."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def run(shift: Shift, folder: Path) -> int:
    """The shift; 1 where something was lost."""
    store, ports = folder / "store", Ports()
    lists = store / "hotlists"
    lists.mkdir(parents=True)
    listed = plates(round(2 * shift.cars))[: round(2 * shift.cars) // 10]
    half = len(listed) // 2
    (lists / "stolen.csv").write_text("# priority: 5\nplate\n" + "\n".join(listed[:half]), encoding="utf-8")
    growing = ["# priority: 1", "# sound: soft", "plate", *listed[half:]]
    (lists / "wanted.csv").write_text("\n".join(growing), encoding="utf-8")
    settings = (
        f'[store]\npath = "{store}"\nquota_mb = {QUOTA_MB}\n[privacy]\nforget_after_min = {FORGET_MIN / shift.speed}\n'
        "[output]\nheartbeat_s = 10.0\n[governor]\nenabled = false\n"
    )
    config = write_config(folder, ports, settings)
    ledger, samples = Ledger(store), Samples()
    with Beside(folder, config, ports) as beside:
        arguments = [part for name, value in vars(shift).items() for part in (f"--{name}", str(value))]
        log = (folder / "reader.log").open("wb")
        reader = subprocess.Popen([sys.executable, __file__, "--reader", str(config), *arguments],
                                  stdout=subprocess.PIPE, stderr=log)  # fmt: skip
        start, sample_s, list_s, outages = time.monotonic(), 0.0, LIST_S, 0
        while reader.poll() is None:
            now_s = time.monotonic() - start
            ledger.look()
            away = now_s % shift.every > shift.every - shift.away and now_s < shift.seconds
            if away and beside.broker.pid:
                beside.broker.stop()
                outages += 1
            elif not away and not beside.broker.pid:
                beside.broker.start()
            if now_s >= sample_s:
                sample_s += SAMPLE_S
                samples.take(now_s / 60, {"reader": reader.pid, **beside.pids}, store)
            if now_s >= list_s:
                list_s += LIST_S
                growing.append(f"NEW{round(now_s)}")
                (lists / "wanted.csv").write_text("\n".join(growing), encoding="utf-8")
            time.sleep(0.02)
        passed_s = time.monotonic() - start
        if not beside.broker.pid:
            beside.broker.start()
        ledger.look()
        hits = told_hits(ledger.events)
        waited = time.monotonic()
        while hits - set(beside.ear.heard) and time.monotonic() - waited < 150:
            time.sleep(0.2)
        time.sleep(2)
        assert reader.stdout is not None
        print(f"{passed_s / 60:.1f} minutes; broker away {outages} times for {shift.away:.0f} s; the reader: "
              f"{reader.stdout.read().decode().strip()}")  # fmt: skip
        lost = account(ledger, hits, beside, (folder / "played").read_text(encoding="utf-8").split())
        samples.show()
        print(f"exit of the reader {reader.returncode}; processes that ended: {beside.ended() or 'none'}")
        for name in ("reader", "display", "sound", "uplink"):
            said = (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
            print(f"  {name} said {len(said)} lines, the last: {said[-1] if said else '-'}")
        return int(lost > 0 or reader.returncode != 0 or bool(beside.ended()))


def told_hits(events: list[Event]) -> set[tuple[str, str, int]]:
    """What the links are to tell, by what `docs/links.md` says: hits in all their states."""
    return {(event.uuid, event.state, event.seq) for event in events if event.match is not None}


def account(ledger: Ledger, hits: set[tuple[str, str, int]], beside: Beside, played: list[str]) -> int:
    """Print what became of all events; how many are lost."""
    last, kept, plain = ledger.kept()
    heard, seen = beside.ear.heard, beside.eye.seen
    seqs = {event.seq for event in ledger.events}
    unheard, unseen = hits - set(heard), seqs - set(seen)
    twice = sum(1 for count in heard.values() if count > 1)
    more = set(heard) - hits
    hit_cars = {uuid for uuid, _, _ in hits}
    confirmed = {event.uuid for event in ledger.events if event.match and event.state == "confirmed"}
    print(f"stored: {last} events of {len({e.uuid for e in ledger.events})} passages, {last - len(seqs)} of them not "
          f"noted; {len(hits)} hits of {len(hit_cars)} passages, {len(confirmed)} of them confirmed")  # fmt: skip
    print(f"MQTT: {len(hits) - len(unheard)} of {len(hits)} hits heard, {twice} told twice, {len(more)} others (hits taken "
          f"back); {beside.ear.beats} heartbeats")  # fmt: skip
    print(f"screen: {len(seqs) - len(unseen)} of {len(seqs)} events seen, {sum(n > 1 for n in seen.values())} twice, "
          f"{beside.eye.pictures} live pictures, {beside.eye.connections} connections; {beside.scraper.scrapes} scrapes")  # fmt: skip
    print(f"sound: {sum(name != 'words.wav' for name in played[1::2])} chimes, {played[1::2].count('words.wav')} plates spoken")
    print(f"kept at the end: {len(kept)} events, {plain} passages without a hit (forgotten after 15 simulated minutes)")
    return len(unheard) + len(unseen) + last - len(seqs)


def main() -> int:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--speed", type=float, default=30.0)
    parser.add_argument("--fps", type=float, default=0.5)
    parser.add_argument("--cars", type=float, default=600.0)
    parser.add_argument("--away", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=180.0)
    parser.add_argument("--reader", type=Path, help=argparse.SUPPRESS)
    asked = vars(parser.parse_args())
    config = asked.pop("reader")
    shift = Shift(**asked)
    if config is not None:
        read(config, shift)
        return 0
    with tempfile.TemporaryDirectory(prefix="edge-alpr-shift-") as folder:
        return run(shift, Path(folder))


if __name__ == "__main__":
    raise SystemExit(main())
