"""What can be wrong before a board is flashed, each with the way out: one table."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_alpr.errors import EdgeAlprError


class FlashError(EdgeAlprError):
    """NVIDIA's tool failed, or a file that it needs cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    code: str
    what: str
    remedy: str


PROBLEMS = {
    "no-bsp": (
        "{bsp} is no Linux_for_Tegra folder: nv_tegra or tools/kernel_flash is missing",
        "unpack NVIDIA's driver package (Jetson_Linux_R36…_aarch64.tbz2 or R39…) and give its folder with --bsp",
    ),
    "wrong-release": (
        "this is L4T {found}; {title} is flashed with {wanted}",
        "download that release's driver package from NVIDIA's page of Jetson Linux and give its folder with --bsp",
    ),
    "missing-file": (
        "{path} is missing in {bsp}",
        "the driver package is not whole: unpack it again, as root (sudo tar xpf)",
    ),
    "no-board-config": (
        "{config}.conf is not in {bsp}; there are {there}",
        "give your carrier board's configuration with --config, or install its maker's package into the folder",
    ),
    "bad-template": (
        "{template} has no {what}",
        "unpack the driver package again; if its table comes so, this tool does not know that release yet",
    ),
    "rootfs-empty": (
        "{bsp}/rootfs holds no system",
        "give the image's tar with --image",
    ),
    "rootfs-taken": (
        "{bsp}/rootfs already holds a system, and --image gives another",
        "sudo mv {bsp}/rootfs {bsp}/rootfs.old && sudo mkdir {bsp}/rootfs; or leave --image out to flash what is there",
    ),
    "rootfs-bare": (
        "{bsp}/rootfs lacks NVIDIA's drivers (etc/nv_tegra_release)",
        "cd {bsp} && sudo ./apply_binaries.sh",
    ),
    "rootfs-other-release": (
        "the root file system is of L4T {rootfs}, the folder of {found}",
        "build the image for {found}, or give the folder of {rootfs} with --bsp",
    ),
    "no-image": ("{image} cannot be read: {why}", "give the tar that deploy/image/build wrote"),
    "image-mismatch": (
        "{image} has the SHA-256 {found}, not {wanted}",
        "it is damaged, or not the one that was released: copy it again",
    ),
    "image-unsigned": (
        "nothing vouches for {image}: no SHA256SUMS with its signature lies beside it",
        "copy it with SHA256SUMS and SHA256SUMS.sig of its release, or give the hash that you trust with --sha256",
    ),
    "image-not-listed": (
        "{image} is not in the SHA256SUMS beside it",
        "take the image from that release's folder, or give the hash that you trust with --sha256",
    ),
    "image-bad-signature": (
        "the signature of the SHA256SUMS beside {image} does not hold: {why}",
        "copy the release's folder again; if it stays so, do not flash: the files are not those that were signed",
    ),
    "no-key": (
        "the signature of {image} cannot be checked without the release's public key",
        "give it with --key; do not take it from where the image came from",
    ),
    "too-big": (
        "the root file system takes {needs}, a slot of {slot} holds {holds}",
        "give bigger slots (--slot), or build a smaller image",
    ),
    "disk-too-small": (
        "two slots of {slot}, NVIDIA's partitions and {least} for data take {needs}; the disk has {disk}",
        "give smaller slots (--slot), put a bigger disk in, or say how big it is (--disk)",
    ),
    "bad-slot": (
        "a slot of {slot} is no multiple of 16384 bytes",
        "give a whole number of MiB or GiB: NVIDIA's tool aligns partitions to 16384 bytes",
    ),
    "no-space": (
        "{folder} has {free} free; making the flash images takes about {needs}",
        "free some there, or move the Linux_for_Tegra folder to a bigger disk",
    ),
    "no-tool": ("{tool} is not installed", "sudo apt-get install {package}"),
    "not-root": ("flashing needs root: NVIDIA's tool mounts images and talks to USB", "run it with sudo"),
    "no-board": (
        "no board in recovery mode is connected",
        "join FC REC and GND (or hold the recovery button), apply power, connect the USB-C port that flashes",
    ),
    "board-runs": (
        "a Jetson is connected, but it has started its system",
        "switch it off, join FC REC and GND (or hold the recovery button), and switch it on",
    ),
    "two-boards": (
        "{count} boards in recovery mode are connected: {which}",
        "leave one connected: NVIDIA's tool signs for one board at a time",
    ),
    "wrong-board": (
        "the board that is connected is {module}, not {title}",
        "give --board {right}, or connect the other board",
    ),
    "no-such-medium": ("{title} is not flashed to {medium}", "give --medium {there}"),
}


def problem(code: str, **facts: object) -> Problem:
    """The problem of that code, its texts filled in."""
    what, remedy = PROBLEMS[code]
    return Problem(code, what.format(**facts), remedy.format(**facts))


_SAID = (
    (r"No devices to flash", "the board left recovery mode: join FC REC and GND again, power it anew, run it again"),
    (r"too many devices in RCM mode", "leave one board connected"),
    (
        r"NFS port is blocked|rpcbind|mount\.nfs|nfs.*(fail|refus|timed)",
        "let NFS and IPv6 over USB through the firewall (sudo ufw disable while you flash), and switch a VPN off",
    ),
    (r"(\w+) not found! To install", "sudo tools/l4t_flash_prerequisites.sh"),
    (
        r"probing the target board failed|Timeout in USB|USB (write|read)|might be timeout",
        "use another USB port and a short cable, no hub, no virtual machine; power the board anew in recovery mode",
    ),
    (r"No space left on device", "free space where the Linux_for_Tegra folder lies"),
    (r"cannot find .*nvme|nvme.*not found", "see that the disk sits in its slot"),
)
"""What NVIDIA's tool says when it fails -> what to do [HDR: messages of r36 and r39]."""


def remedy_of(output: str) -> str:
    """What to do about the end of the output of NVIDIA's tool."""
    for said, remedy in _SAID:
        if re.search(said, output, re.IGNORECASE):
            return remedy
    return "its last lines are above; put the board into recovery mode anew before you run it again"
