"""An operator's folder, the web server before it, and a car's TUF client; the tool can be killed at each step."""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tuf.api.metadata import Metadata, Root, TargetFile, Targets
from tuf.ngclient import Updater
from typer.main import get_command

from deploy.repo_tool.check import FolderFetcher
from deploy.repo_tool.commands import app

COMMAND = get_command(app)
WORD = "correct horse"
KILLED = 9


@dataclass(frozen=True)
class Operator:
    """Works in `folder`; each call is one command."""

    folder: Path
    secret: Path

    @property
    def public(self) -> Path:
        return self.folder / "public"

    def __call__(self, *words: str, status: int = 0, stdin: bytes | None = None) -> str:
        """What a command printed. Errors come through; another exit code than `status` fails."""
        line = ["--fleet", str(self.folder), "--secret-file", str(self.secret), *words]
        result = CliRunner().invoke(COMMAND, line, input=stdin, catch_exceptions=False)
        assert result.exit_code == status, result.output
        return result.output

    def file(self, name: str, data: bytes = b"content") -> str:
        """A file to be added, by its path."""
        path = self.folder.parent / f"{self.folder.name}-files" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return str(path)

    def add(self, name: str = "m-1.0.tar", version: str = "1.0", unit: str = "models", *more: str) -> str:
        """The target's path."""
        self("add", self.file(name, name.encode()), "--unit", unit, "--version", version, *more)
        return f"{unit}/{name}"

    def carry_away(self, *names: str) -> Path:
        """Take keys out of the folder; returns where they are."""
        away = self.folder.parent / f"{self.folder.name}-safe"
        away.mkdir(exist_ok=True)
        for name in names:
            shutil.move(self.folder / "keys" / f"{name}.pem", away / f"{name}.pem")
        return away

    def bring(self, *names: str) -> None:
        """Back again."""
        for name in names:
            shutil.move(self.folder.parent / f"{self.folder.name}-safe" / f"{name}.pem", self.folder / "keys")

    def copy(self, name: str) -> Operator:
        """The same in another folder."""
        return Operator(Path(shutil.copytree(self.folder, self.folder.parent / name)), self.secret)

    def root(self, repository: str) -> Root:
        """The newest."""
        folder = self.public / repository / "metadata"
        return Metadata[Root].from_file(str(max(folder.glob("*.root.json"), key=version_of))).signed


def version_of(path: Path) -> int:
    return int(path.name.partition(".")[0])


def new_operator(folder: Path) -> Operator:
    """With both repositories, all keys at hand."""
    secret = folder.parent / "word"
    secret.write_text(WORD + "\n", encoding="utf-8")
    secret.chmod(0o600)
    operator = Operator(folder, secret)
    operator("init", "--online-secret", str(secret))
    return operator


@dataclass(frozen=True)
class Car:
    """Keeps what it has verified in `folder`, as a car does. A URL of a file is read without a server."""

    folder: Path
    url: str

    def begin(self, operator: Operator) -> Car:
        """With the first roots, as shipped."""
        for repository in ("director", "image"):
            (self.folder / repository).mkdir(parents=True)
            first = operator.public / repository / "metadata" / "1.root.json"
            shutil.copy(first, self.folder / f"{repository}.root.json")
        return self

    def client(self, repository: str) -> Updater:
        """python-tuf's, for one of the repositories."""
        return Updater(
            str(self.folder / repository),
            f"{self.url}/{repository}/metadata/",
            target_dir=str(self.folder),
            target_base_url=f"{self.url}/image/targets/",
            fetcher=FolderFetcher() if self.url.startswith("file:") else None,
            bootstrap=(self.folder / f"{repository}.root.json").read_bytes(),
        )

    def told(self, repository: str) -> dict[str, TargetFile]:
        """Refresh, then all targets by path."""
        self.client(repository).refresh()
        return Metadata[Targets].from_file(str(self.folder / repository / "targets.json")).signed.targets

    def view(self) -> tuple[dict[str, Any], list[str]]:
        """What the director says, and what exists, which must have all of that."""
        told, images = self.told("director"), self.told("image")
        for path, target in told.items():
            assert (images[path].length, images[path].hashes) == (target.length, target.hashes)
        return {path: target.custom for path, target in told.items()}, sorted(images)

    def wanted(self) -> dict[str, Any]:
        """What the director says."""
        return self.view()[0]


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """Its URL. A process of its own, so that this one can fork."""
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder), "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    try:
        found = re.search(r"port (\d+)", process.stdout.readline())
        assert found
        yield f"http://127.0.0.1:{found[1]}"
    finally:
        process.kill()
        process.wait()


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do some work in another process that dies before it makes its change number `step` to a folder.

    False: it came to its end before.
    """
    child = os.fork()
    if child == 0:
        gc.disable()  # it would touch, and so copy, all pages
        try:
            _die_at(step)
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, KILLED)
    return status == KILLED


def _die_at(step: int) -> None:
    done = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal done
            if done == step:
                os._exit(KILLED)
            done += 1
            return real(*args, **options)

        return call

    patch = pytest.MonkeyPatch()
    for change in ("replace", "unlink", "mkdir"):
        patch.setattr(Path, change, counted(getattr(Path, change)))
