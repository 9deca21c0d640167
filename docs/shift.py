"""Eight hours in a car in sixteen minutes: all processes, a clock that runs 30 times, a broker that comes and goes.

    python docs/shift.py [--hours 8] [--speed 30] [--fps 0.5] [--cars 600] [--away 30] [--every 180]

Drawn cars (`--cars` an hour, a tenth of them on two hot lists, none seen twice within an hour) pass a camera of `--fps`
pictures a simulated second, which the real networks read. What counts in frames' time (tracks, cool-down) and the 15
minutes after which passages are forgotten run `--speed` times; the rest (heartbeat, pauses of links) by the clock.
Every `--every` seconds of the run the broker is away for `--away`; each 2 minutes a hot list grows. A watcher of the
store notes each event as soon as it is stored: the broker's and the screen's listeners are held against that.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from beside import Beside, Ports, usage, write_config
from traffic import Shift, Traffic

from edge_alpr.config import load_config
from edge_alpr.drive import Drive, Probe, Screen
from edge_alpr.errors import StoreError
from edge_alpr.sinks.view import StoreView
from edge_alpr.types import Event

FORGET_MIN = 15.0
QUOTA_MB = 20.0
SAMPLE_S, LIST_S, PATIENCE_S = 5.0, 120.0, 150.0
WANTED = ("# priority: 1", "# sound: soft", "plate")


def read(config: Path, shift: Shift) -> None:
    """The reader, in a process of its own."""
    traffic = Traffic(shift)
    summary = Drive(load_config(config), Screen(), Probe(lambda _: traffic)).run()
    print(json.dumps({"frames": summary.frames, "cars": traffic.road.passed, "listed cars": traffic.road.listed,
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
        """Memory after each third, and the largest sizes of each half."""
        for name, taken in self.rss.items():
            late = [(at, kb) for at, kb in taken if at >= self.minutes[-1] / 3]
            if name == "broker" or len(late) < 5:  # the broker is a new process each time
                continue
            thirds = [late[place][1] for place in (0, len(late) // 2, -1)]
            most = max(kb for _, kb in taken)
            print(f"{name}: {thirds[0] / 1024:.1f} MB after a third, {thirds[1] / 1024:.1f} after two, "
                  f"{thirds[2] / 1024:.1f} at the end, {most / 1024:.1f} at most; "
                  f"{thirds[1] - thirds[0]:+d} KB in the second third, "
                  f"{thirds[2] - thirds[1]:+d} in the last")  # fmt: skip
        for name, sizes in self.sizes.items():
            half = len(sizes) // 2
            first, second = max(sizes[:half]) / 1e6, max(sizes[half:]) / 1e6
            print(f"{name}: at most {first:.2f} MB in the first half, {second:.2f} in the second, "
                  f"{sizes[-1] / 1e6:.2f} at the end")  # fmt: skip


def size_of(path: Path) -> int:
    """0 for one that was deleted just now."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def settings(shift: Shift, store: Path) -> str:
    """The tables that a shift wants; its lists are written besides."""
    lists = store / "hotlists"
    lists.mkdir(parents=True)
    half = len(shift.listed) // 2
    (lists / "stolen.csv").write_text("\n".join(["# priority: 5", "plate", *shift.listed[:half]]), encoding="utf-8")
    (lists / "wanted.csv").write_text("\n".join([*WANTED, *shift.listed[half:]]), encoding="utf-8")
    return (
        f'[store]\npath = "{store}"\nquota_mb = {QUOTA_MB}\n[privacy]\nforget_after_min = {FORGET_MIN / shift.speed}\n'
        "[output]\nheartbeat_s = 10.0\n[governor]\nenabled = false\n"
    )


class Watch:
    """What is done and noted meanwhile."""

    def __init__(self, shift: Shift, folder: Path, beside: Beside, reader: subprocess.Popen[bytes]) -> None:
        self._shift, self._beside, self._reader = shift, beside, reader
        self._store = folder / "store"
        self.ledger, self.samples, self.outages = Ledger(self._store), Samples(), 0
        self._sample_s, self._list_s, self._begin_s = 0.0, LIST_S, time.monotonic()

    @property
    def passed_s(self) -> float:
        """Since the start."""
        return time.monotonic() - self._begin_s

    def until_the_end(self) -> None:
        """Until the reader is done; then the broker is there."""
        while self._reader.poll() is None:
            now_s, shift = self.passed_s, self._shift
            self.ledger.look()
            self._broker(now_s % shift.every <= shift.every - shift.away or now_s >= shift.seconds)
            if now_s >= self._sample_s:
                self._sample_s += SAMPLE_S
                self.samples.take(now_s / 60, {"reader": self._reader.pid, **self._beside.pids}, self._store)
            if now_s >= self._list_s:
                self._list_s += LIST_S
                with (self._store / "hotlists" / "wanted.csv").open("a", encoding="utf-8") as file:
                    file.write(f"\nNEW{round(now_s)}")
            time.sleep(0.02)
        self._broker(True)
        self.ledger.look()

    def _broker(self, wanted: bool) -> None:
        broker = self._beside.broker
        if wanted and not broker.pid:
            broker.start()
        elif not wanted and broker.pid:
            broker.stop()
            self.outages += 1


def run(shift: Shift, folder: Path) -> int:
    """The shift; 1 where something was lost."""
    ports = Ports()
    config = write_config(folder, ports, settings(shift, folder / "store"))
    arguments = [part for name, value in vars(shift).items() for part in (f"--{name}", str(value))]
    command = [sys.executable, __file__, "--reader", str(config), *arguments]
    with Beside(folder, config, ports) as beside, (folder / "reader.log").open("wb") as log:
        reader = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        watch = Watch(shift, folder, beside, reader)
        watch.until_the_end()
        passed_s, hits = watch.passed_s, told_hits(watch.ledger.events)
        while hits - set(beside.ear.heard) and watch.passed_s < passed_s + PATIENCE_S:
            time.sleep(0.2)
        time.sleep(2)
        said = reader.stdout.read().decode().strip() if reader.stdout else ""
        print(f"{passed_s / 60:.1f} minutes; broker away {watch.outages} times for {shift.away:.0f} s; reader: {said}")
        lost = account(watch.ledger, hits, beside, (folder / "played").read_text(encoding="utf-8").split())
        watch.samples.show()
        print(f"exit of the reader {reader.returncode}; processes that ended: {beside.ended() or 'none'}")
        last_words(folder)
        return int(lost > 0 or reader.returncode != 0 or bool(beside.ended()))


def last_words(folder: Path) -> None:
    """What the processes had to say."""
    for name in ("reader", "display", "sound", "uplink"):
        said = (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        print(f"  {name} said {len(said)} lines, the last: {said[-1].strip() if said else '-'}")


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
    print(f"MQTT: {len(hits) - len(unheard)} of {len(hits)} hits heard, {twice} told twice, {len(more)} others (hits "
          f"taken back); {beside.ear.beats} heartbeats")  # fmt: skip
    eye, words = beside.eye, played[1::2].count("words.wav")
    print(f"screen: {len(seqs) - len(unseen)} of {len(seqs)} events seen, {sum(n > 1 for n in seen.values())} twice, "
          f"{eye.pictures} live pictures, {eye.connections} connections; {beside.scraper.scrapes} scrapes")  # fmt: skip
    print(f"sound: {len(played) // 2 - words} chimes, {words} plates spoken")
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
