"""The figures of docs/hotlists.md.

    python docs/hotlist_figures.py million     load, memory and look-up with a million entries
    python docs/hotlist_figures.py alerts      false alerts in simulated shifts, lists of 1,000 to 1,000,000 entries
    python docs/hotlist_figures.py reads       what real reads give wrong texts (needs ../shared/data)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_alpr.config import Config, HotListsConfig, StoreConfig
from edge_alpr.evidence import ALPHABET, NONE, canonical, read_from_slots
from edge_alpr.hotlist.chance import WRONG, Errors, chances
from edge_alpr.hotlist.compiled import compile_list
from edge_alpr.hotlist.keys import Classes
from edge_alpr.hotlist.match import LoadedList, Matcher
from edge_alpr.types import Floats, Read

SHAPE = "LLDDLLL"
LETTERS, DIGITS = "ABCDEFGHJKLMNPRSTUVWXYZ", "0123456789"
PLATES = 23**3 * 10**3
"""Of the shape LDDDLL."""
DATA = Path("../shared/data")
SETS = (("dashcam", "dev"), ("openimages", "dev"), ("campus", "train"))


def plates(rng: np.random.Generator, count: int, shape: str = SHAPE) -> list[str]:
    """Random plates, each as likely."""
    columns = [rng.choice(list(LETTERS if kind == "L" else DIGITS), count) for kind in shape]
    return ["".join(row) for row in np.stack(columns, axis=1).tolist()]


def list_of(texts: list[str], name: str = "list") -> bytes:
    """A list as a file."""
    lines = "".join(f"{text[:2]} {text[2:4]} {text[4:]},stolen car\n" for text in texts)
    return f"# name: {name}\nplate,note\n{lines}".encode()


def million() -> None:
    """In a process of its own: compile, load, look up."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        (store / "hotlists").mkdir()
        (store / "hotlists" / "big.csv").write_bytes(list_of(plates(np.random.default_rng(1), 1_000_000)))
        for turn in ("first start", "next start"):
            done = subprocess.run([sys.executable, __file__, "one", folder], check=True, capture_output=True, text=True)
            print(turn, json.loads(done.stdout.splitlines()[-1]))


def one(folder: str, looks: int = 20_000) -> None:
    """Load the lists of a store and look up reads (processor time); prints JSON."""
    from edge_alpr.hotlist.live import HotLists  # noqa: PLC0415

    def memory_mb() -> int:
        status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
        return int(status["VmHWM"].split()[0]) >> 10

    before = memory_mb()
    begin, used = time.perf_counter(), time.process_time()
    lists = HotLists(Config(store=StoreConfig(path=folder)))
    loaded, used = time.perf_counter() - begin, time.process_time() - used
    peak = memory_mb()
    rng, times = np.random.default_rng(2), []
    for text in plates(rng, looks):
        read = read_from_slots(noisy(rng, text)[0])
        begin = time.thread_time()
        lists(read, 0)
        times.append((time.thread_time() - begin) * 1e3)
    p50, p99 = np.percentile(times, [50, 99])
    print(json.dumps({
        "load_s": round(loaded, 2), "load_cpu_s": round(used, 2), "rss_before_mb": before, "rss_peak_mb": peak,
        "look_p50_ms": round(p50, 3), "look_p99_ms": round(p99, 3), "look_max_ms": round(max(times), 3),
    }))  # fmt: skip


def noisy(rng: np.random.Generator, shown: str, unsure: float = 0.12) -> tuple[Floats, str]:
    """Calibrated slots, and what the plate is: drawn from them, so that q is the chance of a text.

    Most characters are sure; a share `unsure` of the plates has one that is read with a chance of 0.3 to 1.
    """
    slots = np.full((len(shown), NONE + 1), 0.0, np.float32)
    truth = list(shown)
    weak = int(rng.integers(len(shown))) if rng.random() < unsure else -1
    for place, char in enumerate(shown):
        kind = LETTERS if char in LETTERS else DIGITS
        sure = rng.uniform(0.3, 1.0) if place == weak else 1.0 - 10.0 ** rng.uniform(-6, -3)
        other = kind[(kind.index(char) + 1 + int(rng.integers(len(kind) - 1))) % len(kind)]
        rest = np.full(NONE + 1, 0.0)
        rest[[ALPHABET.index(c) for c in kind if c not in (char, other)]] = 0.2 / (len(kind) - 2)
        rest[ALPHABET.index(other)] = 0.8
        slots[place] = rest * (1 - sure)
        slots[place, ALPHABET.index(char)] = sure
        weights = slots[place].astype(np.float64)
        truth[place] = ALPHABET[int(rng.choice(NONE, p=weights[:NONE] / weights[:NONE].sum()))]
    return slots, "".join(truth)


def matcher_of(texts: list[str], config: HotListsConfig) -> Matcher:
    """A matcher with one list."""
    compiled = compile_list(list_of(texts), ".csv", "list", Classes(config.classes))
    return Matcher(config, [LoadedList(Path("list.csv"), compiled, 0)])


def shift(rng: np.random.Generator, matcher: Matcher, listed: frozenset[str], shape: str) -> tuple[int, int, int, int]:
    """A shift: cars on no list and alerts for them, cars on the list and those of them that were told."""
    cars = false = hits = told = 0
    while cars < int(8 * matcher.config.plates_per_hour):
        slots, truth = noisy(rng, plates(rng, 1, shape)[0])
        matches = matcher(read_from_slots(slots), 0)
        if canonical(truth) in listed:
            hits, told = hits + 1, told + bool(matches)
        else:
            cars, false = cars + 1, false + bool(matches)
    return cars, false, hits, told


def alerts(shape: str = "LDDDLL", shifts: int = 4) -> None:
    """Lists of all sizes against the 12 million plates of a shape; a row each."""
    print("entries  stated  needed q  expected  cars    false alerts a shift  hits told")
    for entries in (1_000, 10_000, 100_000, 1_000_000):
        texts = plates(np.random.default_rng(entries), entries, shape)
        listed = frozenset(map(canonical, texts))
        for stated in (0.5, 5.0):
            matcher = matcher_of(texts, HotListsConfig(false_alerts=stated, plates_in_use=PLATES, min_score=0.0))
            rng = np.random.default_rng(1)
            parts = zip(*(shift(rng, matcher, listed, shape) for _ in range(shifts)), strict=True)
            cars, false, hits, told = map(sum, parts)
            expected = matcher.expected_false_alerts
            numbers = f"{stated:<7} {matcher.least_chance:<9.4f} {expected:<9.2f} {cars:<7} {false / shifts:<21}"
            print(f"{entries:<8} {numbers} {told} of {hits}", flush=True)


def real_reads() -> Iterator[tuple[str, Read]]:
    """Labelled plates and what the shipped models read."""
    from edge_alpr.app import open_models  # noqa: PLC0415
    from edge_alpr.camera.pictures import load_luma  # noqa: PLC0415
    from edge_alpr.evaluate import load_dataset  # noqa: PLC0415
    from edge_alpr.evaluate.stills import match  # noqa: PLC0415
    from edge_alpr.geometry import quad_box  # noqa: PLC0415

    models = open_models(Config())
    for name, split in SETS:
        for image in load_dataset(DATA / name, split):
            seen, _ = models.observe(load_luma(image.path))
            boxes = [np.array(plate.box, np.float32) for plate in image.plates]
            for place, pair in match(boxes, [quad_box(o.detection.quad) for o in seen]).items():
                plate = image.plates[place]
                if plate.known and plate.legibility == "ok" and seen[pair.found].read.plate:
                    yield canonical(plate.text), seen[pair.found].read


def around(text: str) -> list[str]:
    """All texts one character away."""
    chars, gaps = [c for c in ALPHABET if canonical(c) == c], range(len(text) + 1)
    made = {text[:i] + c + text[i + over :] for i in gaps for over in (0, 1) for c in ("", *chars)}
    return sorted(made - {text, ""})


def reads() -> None:
    """How many wrong texts a read gives q or more, counted and bounded."""
    errors, given, left, stated = Errors(Classes(HotListsConfig().classes)), [], [], []
    for truth, read in real_reads():
        texts = sorted({canonical(c.plate) for c in read.candidates} | set(around(canonical(read.plate))))
        q = chances(errors.rows(read.slots), [*texts, truth])
        left.append(1.0 - q[-1])
        stated.append(q[:-1])
        given.append(q[:-1][np.array([text != truth for text in texts])])
    print(f"{len(left)} plates, left to other texts: {np.mean(left):.3f}")
    q = np.concatenate(given)
    print("q       wrong texts a read  as stated  bound")
    for least in (0.99, 0.98, 0.95, 0.9, 0.8, 0.5, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003):
        expected = sum(float((1 - of_read[of_read >= least]).sum()) for of_read in stated) / len(left)
        bound = min(WRONG, 1 - least) / least
        print(f"{least:<7} {(q >= least).sum() / len(left):<19.4f} {expected:<10.4f} {bound:.4f}")


if __name__ == "__main__":
    {"million": million, "alerts": alerts, "reads": reads, "one": one}[sys.argv[1]](*sys.argv[2:])
