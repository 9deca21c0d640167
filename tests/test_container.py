"""The image for Jetson boards: its parts here, and all of it built and tried for arm64 where that is asked for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ASK = "EDGE_ALPR_ARM64"
"""Set to 1 to build the image under emulation and run all unit tests in it. CI does the short way (.ci/run)."""
AS_ROOT = os.geteuid() == 0


def run(command: Path, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [command, *arguments], env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def healthy(repo: Path) -> Path:
    return repo / "deploy" / "container" / "healthy"


@pytest.fixture
def heartbeat(tmp_path: Path) -> Path:
    """One just written, where a drive with the default store leaves it."""
    file = tmp_path / ".local" / "share" / "edge-alpr" / "heartbeat.json"
    file.parent.mkdir(parents=True)
    file.write_text("{}", encoding="utf-8")
    return file


def test_a_drive_with_a_fresh_heartbeat_is_healthy(healthy: Path, heartbeat: Path, tmp_path: Path):
    assert run(healthy, HOME=str(tmp_path)).returncode == 0
    assert run(healthy, heartbeat.parent).returncode == 0


def test_a_drive_that_hangs_is_not(healthy: Path, heartbeat: Path, tmp_path: Path):
    long_ago = time.time() - 4 * 60
    os.utime(heartbeat, (long_ago, long_ago))

    done = run(healthy, HOME=str(tmp_path))

    assert done.returncode == 1
    assert "older than 3 minutes" in done.stdout


@pytest.mark.parametrize("cut", [False, True])
def test_nor_is_one_that_never_said_anything(healthy: Path, heartbeat: Path, cut: bool):
    heartbeat.write_bytes(b"") if cut else heartbeat.unlink()

    done = run(healthy, heartbeat.parent)

    assert done.returncode == 1
    assert "no live drive" in done.stdout


def test_groups_are_those_of_the_board_s_devices(repo: Path, tmp_path: Path):
    (tmp_path / "video0").touch()
    mine = f"VIDEO_GID={(tmp_path / 'video0').stat().st_gid}\n"

    done = run(repo / "deploy" / "container" / "groups", EDGE_ALPR_DEV=str(tmp_path))

    assert (done.returncode, done.stdout) == (0, mine)


@pytest.mark.skipif(not AS_ROOT, reason="giving a file to another group takes root")
def test_the_gpu_may_belong_to_another_group(repo: Path, tmp_path: Path):
    for name, group in (("nvmap", 44), ("dri/renderD128", 993)):
        node = tmp_path / name
        node.parent.mkdir(exist_ok=True)
        node.touch()
        os.chown(node, -1, group)

    done = run(repo / "deploy" / "container" / "groups", EDGE_ALPR_DEV=str(tmp_path))

    assert done.stdout == "VIDEO_GID=44\nRENDER_GID=993\n"


def test_a_machine_without_devices_is_told_so(repo: Path, tmp_path: Path):
    done = run(repo / "deploy" / "container" / "groups", EDGE_ALPR_DEV=str(tmp_path))

    assert (done.returncode, done.stdout) == (2, "")
    assert "run this on the board" in done.stderr


def test_what_the_image_copies_is_sent_to_its_builder(repo: Path):
    recipe = (repo / "Dockerfile.jetson").read_text(encoding="utf-8")
    sent = (repo / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", recipe, re.MULTILINE) for name in line.split()]

    assert len(copied) >= 5
    assert not [name for name in copied if not (repo / name).exists() or f"!{name}" not in sent]
    project = tomllib.loads((repo / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]) <= set(copied), "the same wheel"


def test_what_emulation_leaves_out_is_there_and_says_why(repo: Path):
    lines = (repo / "tests" / "left_out_under_emulation.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]

    assert rows and all(len(row) == 2 for row in rows), "a test, then the reason"
    for node, _ in rows:
        file, _, name = node.partition("::")
        assert f"def {name.partition('[')[0]}" in (repo / file).read_text(encoding="utf-8"), node


def test_the_short_way_s_tests_are_there(repo: Path):
    script = (repo / "deploy" / "container" / "check").read_text(encoding="utf-8")
    lists = {name: words.split() for name, words in re.findall(r"^(core|parts)='([^']+)'", script, re.MULTILINE)}

    assert not [name for name in lists["core"] if not (repo / "tests" / f"test_{name}.py").is_file()]
    assert not [name for name in lists["parts"] if not (repo / name).is_dir()]


def test_who_is_not_root_cannot_try_the_image(repo: Path, tmp_path: Path):
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n", encoding="utf-8")
    (tmp_path / "id").chmod(0o755)

    done = run(repo / "deploy" / "container" / "check", PATH=f"{tmp_path}:{os.environ['PATH']}")

    assert done.returncode == 3, "which .ci/run takes for a visible skip"
    assert "not root" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get(ASK) != "1", reason=f"all of it under emulation, long: set {ASK}=1")
def test_the_image_is_built_and_reads_on_arm64(repo: Path):
    check = repo / "deploy" / "container" / "check"
    done = subprocess.run([check, "--all"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
