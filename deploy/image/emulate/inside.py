"""Runs in the emulated machine, put there from outside: waits until the reader has read, looks, tells on the console.

The image's own Python without our packages; what it prints is one line, MARK and JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

MARK = "EDGE-ALPR-CHECK "
BEFORE = Path("/run/edge-alpr-test/before")
"""The newest event's number, noted before the reader starts: those of this boot are newer."""
STORE = Path("/var/lib/edge-alpr/events.sqlite3")
RUN = ["/opt/edge-alpr/bin/edge-alpr"]
PATIENCE_S = 900.0


def said(*words: str) -> str:
    """What a command prints on both channels, its exit status behind it where it is not 0."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    return done.stdout + done.stderr + (f"exit {done.returncode}" if done.returncode else "")


def uptime_s() -> float:
    """Since the kernel began."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def last_event() -> int:
    """Number of the store's newest event; 0 where there is none, or no store yet.

    Raises:
        sqlite3.Error: the store is damaged, or locked.
    """
    if not STORE.exists():
        return 0
    with closing(sqlite3.connect(f"file:{STORE}?mode=ro", uri=True)) as store:
        if not store.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone():
            return 0  # cut off before the table was made
        return int(store.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])


def first_event_s(before: int) -> float | None:
    """When the store had its first event of this boot, one newer than `before`."""
    while uptime_s() < PATIENCE_S:
        with suppress(sqlite3.Error):
            if last_event() > before:
                return uptime_s()
        time.sleep(0.5)
    return None


def sockets() -> list[str]:
    """Ports that something listens on, as /proc/net tells (what `ss -ltnu` reads): protocol, address, port."""
    found = []
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        listening = "0A" if protocol.startswith("tcp") else "07"
        path = Path("/proc/net", protocol)
        for line in path.read_text(encoding="ascii").splitlines()[1:] if path.exists() else []:
            fields = line.split()
            if fields[3] == listening:
                address, _, port = fields[1].partition(":")
                found.append(f"{protocol} {address} {int(port, 16)}")
    return found


def read_only() -> list[str]:
    """Places outside of memory and data that could be written: there should be none."""
    wrong = []
    mounts = [line.split()[:4] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    data = [device for device, place, _, _ in mounts if place == "/data"]
    for device, place, kind, options in mounts:
        if kind in ("ext4", "squashfs") and options.split(",")[0] == "rw" and device not in data:
            wrong.append(place)
    for place in ("/", "/etc", "/usr", "/opt/edge-alpr", "/var", "/root"):
        try:
            Path(place, ".written").touch()
            wrong.append(f"wrote {place}")
        except OSError:
            pass
    return wrong


def digest(path: str) -> str:
    """Of a secret, to compare it; empty where it is not there."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def stages() -> dict[str, float]:
    """Seconds since the kernel began."""
    names = "{0}TimestampMonotonic,{1}TimestampMonotonic"
    told = said("systemctl", "show", "-p", names.format("Userspace", "Finish")).split()
    told += said("systemctl", "show", "edge-alpr", "-p", names.format("ActiveEnter", "ExecMainStart")).split()
    pairs = (line.partition("=") for line in told)
    return {name.removesuffix("TimestampMonotonic"): int(us) / 1e6 for name, _, us in pairs}


def look() -> dict[str, object]:
    """All that the host asks for."""
    first = first_event_s(int(BEFORE.read_text(encoding="ascii")))
    as_reader = ("setpriv", "--reuid=edge-alpr", "--regid=edge-alpr", "--clear-groups", "env", f"HOME={STORE.parent}")
    doctor = said(*as_reader, *RUN, "doctor", "--config", "/etc/edge-alpr/edge-alpr.toml")
    keys = Path("/var/lib/edge-alpr-keys")
    mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    shadow = Path("/etc/shadow").read_text(encoding="utf-8").splitlines()
    return {
        "first_read_s": first,
        "stages_s": stages(),
        "active": said("systemctl", "is-active", "edge-alpr").strip(),
        "failed": said("systemctl", "list-units", "--failed", "--plain", "--no-legend").split("\n")[:-1],
        "doctor": doctor[-3000:],
        "sockets": sockets(),
        "writable": read_only(),
        "keys": {name: digest(f"{keys}/{name}") for name in ("key", "signing-key")},
        "key_modes": {path.name: oct(path.stat().st_mode) for path in sorted(keys.iterdir())},
        "machine_id": digest("/etc/machine-id"),
        "name": Path("/etc/hostname").read_text(encoding="ascii").strip(),
        "passwords": [line for line in shadow if line.split(":")[1][:1] not in ("*", "!")],
        "firewall": "policy drop" in said("nft", "list", "ruleset"),
        "watchdog": said("systemctl", "show", "-p", "RuntimeWatchdogUSec,WatchdogDevice").splitlines(),
        "data": [line for line in mounts if " /data " in line],
        "data_mib": os.statvfs("/data").f_blocks * os.statvfs("/data").f_frsize >> 20,
        "journals": len(list(Path("/var/log/journal").glob("*"))),
        "init": [line for line in said("dmesg").splitlines() if "edge-alpr-init" in line or "EXT4-fs error" in line],
        "memory": Path("/proc/meminfo").read_text(encoding="ascii").splitlines()[:3],
        "slow": said("systemd-analyze", "blame", "--no-pager").splitlines()[:12],
    }


def main() -> None:
    """Looks and tells; the machine goes off then."""
    try:
        result: dict[str, object] = look()
    except Exception as error:  # told outside, whatever it is
        result = {"error": repr(error), "journal": said("journalctl", "-b", "-n", "60", "--no-pager")[-6000:]}
    if result.get("first_read_s") is None:
        result["journal"] = said("journalctl", "-b", "-n", "80", "--no-pager")[-8000:]
    with Path("/dev/console").open("w", encoding="utf-8") as console:
        console.write(f"\n{MARK}{json.dumps(result)}\n")
    os.sync()
    subprocess.run(["systemctl", "poweroff"], check=False)


if __name__ == "__main__":
    if sys.argv[1:] == ["before"]:
        BEFORE.write_text(str(last_event()), encoding="ascii")
    else:
        main()
