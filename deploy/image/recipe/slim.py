"""GStreamer's packages made smaller: the parts we name, and of the dependencies what these still need.

The package keeps its name, so dpkg's records in the image stay true, and gets `+slim` behind its version.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

_PARTS = (
    re.compile(r"usr/lib/[^/]+/gstreamer-1\.0/libgst(.+)\.so$"),
    re.compile(r"usr/lib/[^/]+/libgst(.+)-1\.0\.so\b.*$"),
    re.compile(r"usr/lib/.+/girepository-1\.0/Gst(.+)-1\.0\.typelib$"),
)
"""Plugins, libraries, bindings."""
_ALWAYS = ("libc6", "libglib2.0-0", "libglib2.0-0t64", "libgcc-s1", "libstdc++6", "gir1.2-glib-2.0",
           "gir1.2-gstreamer-1.0", "gstreamer1.0-plugins-base", "libgstreamer1.0-0",
           "libgstreamer-plugins-base1.0-0")  # fmt: skip


def packages_of(soname: str) -> tuple[str, ...]:
    """Names that Debian's policy gives the package of a library: libfoo.so.1 is in libfoo1, libfoo2.so.1 in libfoo2-1.

    >>> packages_of("libavcodec.so.59")[0]
    'libavcodec59'
    """
    stem, _, version = soname.lower().replace("_", "-").partition(".so")
    version = version.lstrip(".")
    name = f"{stem}-{version}" if stem[-1:].isdigit() and version else f"{stem}{version}"
    return (name, f"{stem}-{version}", f"{name}t64", f"{stem}-{version}t64")


def thinned(depends: str, sonames: set[str]) -> str:
    """The entries of a `Depends` field that these libraries or a plugin package as such call for.

    >>> thinned("libc6 (>= 2.36), libaom3 (>= 3), libjpeg62-turbo (>= 1.3)", {"libjpeg.so.62"})
    'libc6 (>= 2.36), libjpeg62-turbo (>= 1.3)'
    """
    names = {*_ALWAYS, *(name for soname in sonames for name in packages_of(soname))}
    # Some that do not follow the policy.
    names |= {"libgstreamer-plugins-bad1.0-0"} if any(name.startswith("libgst") for name in sonames) else set()
    names |= {"libjpeg62-turbo"} if "libjpeg.so.62" in sonames else set()
    names |= {"libv4l-0", "libv4l-0t64"} if "libv4l2.so.0" in sonames else set()
    names |= {"zlib1g"} if "libz.so.1" in sonames else set()
    names |= {"libjpeg-turbo8"} if "libjpeg.so.8" in sonames else set()
    entries = [entry.strip() for entry in depends.split(",")]
    kept = ", ".join(entry for entry in entries if entry.split()[0].split(":")[0] in names)
    return kept.replace("(= ", "(>= ")  # its sisters have `+slim` behind their version too


def needed(library: Path) -> set[str]:
    """The sonames that a library asks for."""
    said = subprocess.run(["readelf", "--dynamic", library], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"\(NEEDED\)\s+Shared library: \[(.+)\]", said))


def unwanted(names: list[str], kept: tuple[str, ...]) -> list[str]:
    """Of a package's files, the parts that are not kept, with what only helps to develop or describe them."""
    found = [(name, match[1].lower()) for name in names for pattern in _PARTS if (match := pattern.search(name))]
    presets = [name for name in names if name.startswith("usr/share/gstreamer-1.0/")]
    return [name for name, part in found if part not in kept] + presets


def slim(deb: Path, kept: tuple[str, ...], work: Path, out: Path) -> Path:
    """The smaller package of `deb`, in `out`. Needs dpkg-deb and readelf."""
    tree = work / deb.stem
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    names = [path.relative_to(tree).as_posix() for path in sorted(tree.rglob("*")) if not path.is_dir()]
    for name in unwanted(names, kept):
        (tree / name).unlink()
    sonames: set[str] = set()
    for name in names:
        if (tree / name).is_file() and ".so" in name and not (tree / name).is_symlink():
            sonames |= needed(tree / name)
    control = (tree / "DEBIAN/control").read_text(encoding="utf-8")
    version = re.search(r"^Version: (.+)$", control, re.MULTILINE)
    assert version, deb
    control = control.replace(version[0], f"{version[0]}+slim")
    control = re.sub(r"^(?:Recommends|Suggests): .*\n", "", control, flags=re.MULTILINE)
    control = re.sub(
        r"^Depends: (.*)$", lambda found: f"Depends: {thinned(found[1], sonames)}", control, flags=re.MULTILINE
    )
    kib = sum(path.lstat().st_size // 1024 + 1 for path in tree.rglob("*") if "DEBIAN" not in path.parts)
    control = re.sub(r"^Installed-Size: .*$", f"Installed-Size: {kib}", control, flags=re.MULTILINE)
    (tree / "DEBIAN/control").write_text(control, encoding="utf-8")
    sums = tree / "DEBIAN/md5sums"
    lines = [line for line in sums.read_text(encoding="utf-8").splitlines() if (tree / line.split(None, 1)[1]).exists()]
    sums.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    made = out / f"{deb.stem}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, made], check=True)
    return made


def unmet(tree: Path) -> list[str]:
    """Libraries that the tree's plugins ask for and that are not in it: there should be none."""
    libraries = next((tree / "usr/lib").glob("*/gstreamer-1.0")).parent
    asked = {name for plugin in libraries.glob("gstreamer-1.0/*.so") for name in needed(plugin)}
    return sorted(name for name in asked if not (libraries / name).exists())


def index(folder: Path) -> str:
    """What apt wants to know of the packages in a folder: the text of its `Packages` file."""
    return "".join(f"{_stanza(deb)}\n" for deb in sorted(folder.glob("*.deb")))


def _stanza(deb: Path) -> str:
    control = subprocess.run(["dpkg-deb", "--field", deb], capture_output=True, text=True, check=True).stdout
    sha256 = hashlib.sha256(deb.read_bytes()).hexdigest()
    return f"{control}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {sha256}\n"
