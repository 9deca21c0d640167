"""The command: see ../boot."""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path

from emulate.initrd import make, unpack
from emulate.machine import Boot, Machine, make_disk
from emulate.verdict import lasting, problems, times

ROOT = Path(__file__).resolve().parents[3]
OUT = ROOT / "runs/image"


def _say(text: str) -> None:
    print(text, flush=True)


def arguments(words: list[str]) -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(prog="deploy/image/boot", description="Start the image in qemu and look.")
    parser.add_argument("--image", type=Path, help="default: the newest in runs/image")
    parser.add_argument("--boots", type=int, default=2, help="first boots on new disks (default: 2)")
    parser.add_argument("--again", action="store_true", help="start the first disk a second time")
    parser.add_argument("--cuts", type=int, default=0, help="cut the power at so many moments of first boots")
    parser.add_argument("--in-a-row", type=int, default=1, help="cuts one after the other before it is left in peace")
    parser.add_argument("--within", type=float, nargs=2, metavar=("FROM", "TO"), help="moments of the cuts, in s")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--source", default="sample://drive", help="what the reader is given")
    parser.add_argument("--size", type=int, default=4096, metavar="MIB", help="of the disk")
    parser.add_argument("--cpu", default="cortex-a76")
    parser.add_argument("--kernel", type=Path, default=OUT / "cache/boot", metavar="FOLDER", help="kernel, busybox")
    parser.add_argument("--log", type=Path, default=OUT / "boot", metavar="FOLDER", help="consoles and results")
    return parser.parse_args(words)


def _newest() -> Path:
    found = sorted([*OUT.glob("*.squashfs"), *OUT.glob("*.ext4")], key=lambda path: path.stat().st_mtime)
    if not found:
        raise SystemExit("boot: there is no image in runs/image; make one: deploy/image/build")
    return found[-1]


class Trial:
    """One image on new disks, with a log of each boot. `wrong` collects what does not hold."""

    def __init__(self, wanted: argparse.Namespace) -> None:
        self._wanted = wanted
        self._image = wanted.image or _newest()
        wanted.log.mkdir(parents=True, exist_ok=True)
        kernel = unpack(wanted.kernel, wanted.log / "kernel")
        make(kernel, wanted.source, wanted.log / "initrd.img")
        self._machine = Machine(kernel, wanted.log / "initrd.img", self._image.suffix[1:], wanted.cpu)
        self.wrong: list[str] = []
        self._count = 0

    def disk(self, name: str) -> Path:
        """A new one, as after flashing."""
        path = Path(self._wanted.log / f"{name}.disk")
        make_disk(self._image, path, self._wanted.size)
        return path

    def boot(self, disk: Path, what: str, cut_s: float | None = None) -> Boot:
        """One boot, judged unless it was cut."""
        done = self._machine.boot(disk, cut_s)
        self._count += 1
        text = "".join(f"{moment:8.2f} {line}\n" for moment, line in done.lines)
        (self._wanted.log / f"{self._count:03}.txt").write_text(f"{what}\n{text}", encoding="utf-8")
        if cut_s is not None and done.result is None:
            _say(f"{what}: cut after {cut_s:.1f} s, last said: {done.lines[-1][1][:90] if done.lines else 'nothing'}")
            return done
        found = problems(done)
        self.wrong += [f"{what}: {problem}" for problem in found]
        _say(f"{what}: {'; '.join(found) or 'all well'} ({times(done)})")
        return done

    def first_boots(self) -> float:
        """As many as wanted, and one disk again; returns the longest time to the first read."""
        seen = []
        for number in range(self._wanted.boots):
            disk = self.disk(f"first-{number}")
            seen.append(self.boot(disk, f"first boot {number + 1}"))
            if number == 0 and self._wanted.again:
                self._same(seen[0], self.boot(disk, "the same disk again"))
            disk.unlink()
        told = [secret for boot in seen for secret in lasting(boot.result).values()]
        if len(set(told)) != len(told):
            self.wrong.append("two devices share a key or a name")
        results = json.dumps([boot.result for boot in seen], indent=1)
        (self._wanted.log / "results.json").write_text(results, encoding="utf-8")
        return max((boot.seconds for boot in seen), default=60.0)

    def cuts(self, until_s: float) -> None:
        """First boots that are cut, then left in peace: all must be well then, and stay so."""
        moments = random.Random(self._wanted.seed)
        low, high = self._wanted.within or (2.0, until_s)
        for number in range(self._wanted.cuts):
            disk = self.disk("cut")
            for _ in range(self._wanted.in_a_row):
                self.boot(disk, f"cut {number + 1}", moments.uniform(low, high))
            self.boot(disk, f"after cut {number + 1}")
            disk.unlink()

    def _same(self, before: Boot, after: Boot) -> None:
        one, other = lasting(before.result), lasting(after.result)
        if one and other and one != other:
            self.wrong.append("the same device has other keys or another name after a restart")


def main() -> int:
    """See above."""
    trial = Trial(arguments(sys.argv[1:]))
    trial.cuts(trial.first_boots())
    for problem in trial.wrong:
        _say(f"WRONG: {problem}")
    return 1 if trial.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
