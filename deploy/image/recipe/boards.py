"""What goes into the image: tables of packages, GStreamer plugins and units. Everything else here is mechanism."""

from __future__ import annotations

from dataclasses import dataclass

SYSTEM = (
    "usr-is-merged", "systemd", "systemd-sysv", "systemd-timesyncd", "udev", "dbus", "kmod",
    "e2fsprogs", "fdisk", "nftables", "rauc", "rauc-service", "openssl", "ca-certificates", "tzdata",
)  # fmt: skip
"""Boot, time, firewall, updates. `fdisk` and `e2fsprogs` make the data partition at the first boot."""

READER = (
    "python3", "python3-gi", "python3-gst-1.0", "gir1.2-gstreamer-1.0", "gir1.2-gst-plugins-base-1.0",
    "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good", "gstreamer1.0-plugins-bad",
)  # fmt: skip
"""`read_packages` of scripts/setup.sh without the software decoder, see `Board.packages`; a test compares them."""

KEPT = {
    "gstreamer1.0-plugins-base": ("app", "typefindfunctions", "videoconvertscale", "videoconvert"),
    "gstreamer1.0-plugins-good": (
        "avi", "flv", "isomp4", "jpeg", "matroska", "rtp", "rtpmanager", "rtsp", "udp", "video4linux2",
    ),
    "gstreamer1.0-plugins-bad": ("jpegformat", "mpegpsdemux", "mpegtsdemux", "videoparsersbad"),
    "libgstreamer-plugins-bad1.0-0": ("codecparsers", "mpegts"),
    "libgstreamer-plugins-base1.0-0": (
        "allocators", "app", "audio", "fft", "pbutils", "riff", "rtp", "rtsp", "sdp", "tag", "video",
    ),
    "gir1.2-gst-plugins-base-1.0": ("app", "video"),
}  # fmt: skip
"""The plugins, libraries and bindings that edge_alpr/camera/decoders.py takes. The others, with what only they need (a
graphics stack, a compiler for it, fonts), are left out. A name that a release lacks is no error."""

EXTRAS = ("service", "display", "hotlists", "uplink", "seal", "learn", "buttons", "ota")
"""Of our wheel."""

ENABLED = (
    "edge-alpr.service", "edge-alpr-uplink.service", "edge-alpr-update.service", "edge-alpr-prove.service",
    "edge-alpr-mark.service", "edge-alpr-reboot.path", "edge-alpr-provision.service", "nftables.service",
    "systemd-networkd.service", "systemd-timesyncd.service",
    "systemd-resolved.service",
)  # fmt: skip
"""Those that are there. Screen and sound are installed and off: `--enable`."""

MASKED = (
    "getty@.service", "serial-getty@.service", "console-getty.service", "container-getty@.service", "getty.target",
    "apt-daily.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
    "systemd-networkd-wait-online.service", "systemd-pstore.service", "systemd-firstboot.service",
    "systemd-remount-fs.service", "nvfb.service", "nvfb-early.service", "nv-oem-config.service", "ssh.service",
    "ssh.socket",
)  # fmt: skip
"""No log-in anywhere, and nothing that would write to the read-only root or ask a person at the first boot."""


@dataclass(frozen=True, slots=True)
class Board:
    """One kind of device. `nvidia`: its kernel, firmware and decoders come with NVIDIA's packages (`--nvidia`)."""

    name: str
    formats: tuple[str, ...]
    nvidia: bool = True

    @property
    def packages(self) -> tuple[str, ...]:
        """Of the distribution, the ones that are asked for by name."""
        return (*SYSTEM, *READER, *(() if self.nvidia else ("gstreamer1.0-libav",)))


BOARDS = {
    board.name: board
    for board in (
        Board("pc", ("squashfs",), nvidia=False),
        Board("orin-nano", ("ext4", "tar")),
        Board("orin-nx", ("ext4", "tar")),
        Board("agx-orin", ("ext4", "tar")),
        Board("thor", ("ext4", "tar")),
    )
}
"""ext4 goes into the bundle, the tar to NVIDIA's flashing tool.
NVIDIA's UEFI reads the kernel from the root's own file system, which it knows as ext4 only; qemu is given it.
Without NVIDIA's packages a board's image still builds, with the distribution's parts alone."""


@dataclass(frozen=True, slots=True)
class Release:
    """A distribution's release. `python` is its Python; `extra` are packages that its systemd does not bring."""

    python: str
    components: str
    extra: tuple[str, ...] = ()


RELEASES = {
    "bookworm": Release("3.11", "main", ("systemd-resolved",)),
    "jammy": Release("3.10", "main,universe"),
    "noble": Release("3.12", "main,universe", ("systemd-resolved",)),
}
"""Ubuntu's are for JetPack 6 and 7: their packages for arm64 lie on mirrors of their own."""

ALL_PROCESSORS = frozenset({"bookworm"})
"""Releases whose mirrors have all processors' packages: those of a PC do for arm64."""
