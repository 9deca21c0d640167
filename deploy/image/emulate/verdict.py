"""Whether a boot was as it should be: pure functions of what the machine told."""

from __future__ import annotations

from typing import Any

from emulate.machine import Boot

ANSWERED = (68, 546)
"""Ports on which the network's DHCP answers come; the firewall lets nothing else to them."""


def problems(boot: Boot) -> list[str]:
    """What does not hold; empty where all is well."""
    told = boot.result
    if told is None or "error" in told:
        why = (told or {}).get("error") or (boot.lines[-1][1][:120] if boot.lines else "the console is silent")
        return [f"it did not come up: {why}"]
    checks = {
        "no plate was read": told["first_read_s"] is None,
        f"the reader is {told['active']}": told["active"] != "active",
        f"failed: {told['failed']}": bool(told["failed"]),
        f"doctor: {told['doctor'][-300:]}": "exit " in told["doctor"][-8:],
        f"open: {_open(told['sockets'])}": bool(_open(told["sockets"])),
        f"can be written: {told['writable']}": bool(told["writable"]),
        f"keys: {told['keys']}": not all(told["keys"].values()),
        f"others may read the keys: {told['key_modes']}": any(mode[-2:] != "00" for mode in told["key_modes"].values()),
        f"passwords: {told['passwords']}": bool(told["passwords"]),
        "the firewall is not loaded": not told["firewall"],
        f"no data partition: {told['data']}": not any(" ext4 rw" in line for line in told["data"]),
        f"{told['journals']} journals": told["journals"] != 1,
        f"watchdog: {told['watchdog']}": not any("/dev/watchdog" in line for line in told["watchdog"]),
    }
    return [text for text, wrong in checks.items() if wrong]


def lasting(told: dict[str, Any] | None) -> dict[str, str]:
    """What is the device's own: it stays over restarts, no two devices share it. Empty where an error was told."""
    if told is None or "error" in told:
        return {}
    return {**told["keys"], "machine_id": told["machine_id"], "name": told["name"]}


def times(boot: Boot) -> str:
    """The stages, in seconds since power-on."""
    told = boot.result or {}
    kernel = boot.at("Booting Linux") or 0.0
    stages = {name: kernel + moment for name, moment in told.get("stages_s", {}).items()}
    parts = [("kernel", kernel), ("root", boot.at("EDGE-ALPR-ROOT")), ("systemd", stages.get("Userspace")),
             ("reader started", stages.get("ExecMainStart")), ("reader ready", stages.get("ActiveEnter"))]  # fmt: skip
    if told.get("first_read_s"):
        parts.append(("first read", kernel + told["first_read_s"]))
    told_of = [f"{name} {moment:.1f}" for name, moment in parts if moment is not None]
    return ", ".join([*told_of, f"off {boot.seconds:.0f} s"])


def _open(sockets: list[str]) -> list[str]:
    return [line for line in sockets if int(line.split()[2]) not in ANSWERED]
