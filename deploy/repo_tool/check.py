"""The whole folder, checked as a client would: python-tuf's own client reads it, from the first root on."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

from tuf.api.exceptions import DownloadError, DownloadHTTPError, LengthOrHashMismatchError, RepositoryError
from tuf.api.metadata import TargetFile, Targets
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from deploy.repo_tool.publish import Desk, read_staged
from deploy.repo_tool.served import read_metadata
from deploy.repo_tool.settings import DIRECTOR, IMAGE, REPOSITORIES, Fleet
from deploy.repo_tool.work import expiring

SERVED = re.compile(r"(director|image)/metadata/(timestamp|[0-9]+\.(root|snapshot|targets))\.json|image/targets/.+")
PRIVATE = b"PRIVATE KEY"
LIMITS = UpdaterConfig(root_max_length=256_000, snapshot_max_length=100_000, targets_max_length=2_000_000)
"""As a car has them: longer metadata is an attack."""


class FolderFetcher(FetcherInterface):
    """Serves a folder to python-tuf's client without a server."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(unquote(urlparse(url).path))
        if not path.is_file():
            raise DownloadHTTPError(f"{path}: not there", 404)
        with path.open("rb") as file:
            yield from iter(lambda: file.read(1 << 20), b"")


def problems(desk: Desk) -> list[str]:
    """What a client would refuse, and what does not belong there. Empty: all is well."""
    found, told = list(_misplaced(desk.fleet)), {}
    for repository in REPOSITORIES:
        try:
            told[repository] = _read_as_client(desk.fleet, repository)
        except (RepositoryError, DownloadError, OSError) as error:
            found.append(f"{repository}: a client refuses it: {error}")
    if len(told) == len(REPOSITORIES):
        found += _files(desk.fleet, told[IMAGE])
        found += _mixed(told[IMAGE], told[DIRECTOR])
    roots = [set(desk.state(repository).root.signed.keys) for repository in REPOSITORIES]
    if roots[0] & roots[1]:
        found.append("the repositories share a key: one's metadata could be passed off as the other's; rotate it")
    return found


def remarks(desk: Desk) -> list[str]:
    """What is well, but not for long, and what waits."""
    lines = []
    for repository in REPOSITORIES:
        lines += expiring(desk, repository)
        staged = read_staged(desk, repository)
        lines += [
            f"{repository} {one.signed.type} version {one.signed.version} waits for signatures: deploy/repo sign"
            for one in (staged.root, staged.targets)
            if one
        ]
    return lines


def _read_as_client(fleet: Fleet, repository: str) -> dict[str, TargetFile]:
    with tempfile.TemporaryDirectory() as folder:
        client = Updater(
            folder,
            fleet.metadata(repository).resolve().as_uri(),
            fetcher=FolderFetcher(),
            config=LIMITS,
            bootstrap=(fleet.metadata(repository) / "1.root.json").read_bytes(),
        )
        client.refresh()
        # ngclient keeps what it has verified; it has no list of all targets of its own
        return dict(read_metadata(Path(folder, "targets.json"), Targets).signed.targets)


def _files(fleet: Fleet, files: dict[str, TargetFile]) -> Iterator[str]:
    for path, target in files.items():
        try:
            with (fleet.targets / target.get_prefixed_paths()[0]).open("rb") as file:
                target.verify_length_and_hashes(file)
        except OSError:
            yield f"image: {path} is promised and not there; deploy/repo add it again"
        except LengthOrHashMismatchError:
            yield f"image: {path} is not what was signed; deploy/repo add it again"


def _mixed(images: dict[str, TargetFile], told: dict[str, TargetFile]) -> Iterator[str]:
    for path, target in told.items():
        image = images.get(path)
        if not image or (image.length, image.hashes) != (target.length, target.hashes):
            yield f"director: {path} is not as the image repository has it; withdraw its roll-out"


def _misplaced(fleet: Fleet) -> Iterator[str]:
    for path in sorted(fleet.public.rglob("*")):
        name = path.relative_to(fleet.public).as_posix()
        if path.is_symlink():  # what lies behind one of a folder is not looked at here, and a web server may follow it
            yield f"{name}: a symbolic link, which may serve what lies outside; remove it"
            continue
        if path.is_dir():
            continue
        if not SERVED.fullmatch(name):
            yield f"{name}: does not belong into what is served; remove it"
        elif path.suffix == ".pem" or (path.stat().st_size < 1 << 20 and PRIVATE in path.read_bytes()):
            yield f"{name}: a private key is served; remove it and rotate that key"
