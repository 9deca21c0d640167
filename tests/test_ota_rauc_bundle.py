"""`deploy/bundle` and `deploy/rauc/put`: what they make, and each thing that they refuse."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from helpers_parts import missing
from helpers_rauc import DEPLOY, RAUC, ROOT, Factory, run

BUNDLE = ROOT / "deploy" / "bundle"


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Factory:
    for program in (RAUC, "mksquashfs", "openssl"):
        if shutil.which(program) is None:
            missing(f"{program} is not installed")
    return Factory(tmp_path_factory.mktemp("factory"))


def field(said: str, name: str) -> str:
    found = re.search(rf"^{name} +(\S+)", said, re.MULTILINE)
    assert found, said
    return found[1]


def test_two_bundles_of_one_input_hold_the_same(factory: Factory, tmp_path: Path):
    made = [
        run(BUNDLE, *factory.arguments("1.1.0", output=tmp_path / name), SOURCE_DATE_EPOCH="1700000000").stdout
        for name in ("one.raucb", "two.raucb")
    ]
    assert field(made[0], "payload") == field(made[1], "payload")
    assert field(made[0], "sha256") != field(made[1], "sha256"), "the signature has its time"
    assert sorted(tmp_path.iterdir()) == [tmp_path / "one.raucb", tmp_path / "two.raucb"], "nothing is left behind"

    said = run(BUNDLE, "--info", tmp_path / "one.raucb", "--keyring", factory.ca() / "ca.pem")
    for words in ("edge-alpr-orin-nano", "1.1.0", "2023-11-14T22:13:20Z", field(made[0], "sha256")):
        assert words in said.stdout
    unchecked = run(BUNDLE, "--info", tmp_path / "one.raucb")
    assert unchecked.returncode == 0 and "NOT checked" in unchecked.stderr


def test_verity_is_what_one_gets(factory: Factory, tmp_path: Path):
    keys = factory.ca()
    arguments = factory.arguments("1.1.0", output=tmp_path / "x.raucb")
    at = arguments.index("--format")
    assert run(BUNDLE, *arguments[:at], *arguments[at + 2 :]).returncode == 0
    assert "verity" in run(BUNDLE, "--info", tmp_path / "x.raucb", "--keyring", keys / "ca.pem").stdout.lower()


def test_a_key_in_a_token(factory: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    library = next(iter(sorted(Path("/usr/lib").glob("**/libsofthsm2.so"))), None)
    if library is None or not list(Path("/usr/lib").glob("*/engines-3/pkcs11.so")):
        missing("softhsm2 or libengine-pkcs11-openssl is not installed")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\n", encoding="utf-8")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm.conf"))
    monkeypatch.setenv("RAUC_PKCS11_PIN", "4321")
    keys, token = factory.ca(), ["--token", "release", "--pin", "4321"]
    run("softhsm2-util", "--init-token", "--free", "--label", "release", "--pin", "4321", "--so-pin", "8765")
    run("softhsm2-util", "--import", keys / "signer.key", *token, "--label", "signer", "--id", "a1")
    arguments = factory.arguments("1.1.0", key="pkcs11:token=release;object=signer", output=tmp_path / "x.raucb")

    assert "set RAUC_PKCS11_MODULE" in run(BUNDLE, *arguments, RAUC_PKCS11_MODULE="").stderr
    done = run(BUNDLE, *arguments, RAUC_PKCS11_MODULE=str(library))

    assert done.returncode == 0, done.stderr
    assert run(BUNDLE, "--info", tmp_path / "x.raucb", "--keyring", keys / "ca.pem").returncode == 0


def test_a_hook_goes_along(factory: Factory, tmp_path: Path):
    hook = tmp_path / "check"
    hook.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    assert run(BUNDLE, *factory.arguments("1.1.0", hook=hook, output=tmp_path / "x.raucb")).returncode == 0
    assert "install-check" in run(BUNDLE, "--info", tmp_path / "x.raucb", "--keyring", factory.ca() / "ca.pem").stdout


NOTHING: dict[str, tuple[dict[str, str], str]] = {
    "other version":  ({"version": "1.2.0"}, "is version 1.1.0, not 1.2.0; give that, or build the image anew"),
    "other board":    ({"board": "thor"}, "is 'edge-alpr-orin-nano' (IMAGE_ID), not edge-alpr-thor"),
    "no version":     ({"version": "new"}, "'new' is no version such as"),
    "another key":    ({"version": "1.1.0\nx=y"}, "is no version such as"),
    "no such board":  ({"board": "orin"}, "is none of orin-nano"),
    "no such format": ({"format": "zip"}, "is neither verity nor plain"),
    "two lines":      ({"build": "a\nb"}, "--build: one line"),
    "no image":       ({"rootfs": "/none"}, "/none is not a readable file"),
    "another file":   ({"rootfs": __file__}, "is neither squashfs nor ext4 nor tar; make it with deploy/image/build"),
    "no certificate": ({"cert": __file__}, "is no certificate"),
    "no key":         ({"key": __file__}, "is damaged, or needs a pass phrase"),
    "foreign key":    ({"key": "{strangers}/signer.key"}, "is not the key of"),
    "other keyring":  ({"keyring": "{strangers}/ca.pem"}, "unable to get local issuer certificate"),
    "no token":       ({"key": "pkcs11:object=none"}, "set RAUC_PKCS11_MODULE"),
    "nowhere":        ({"output": "/proc/none/x.raucb"}, "cannot be made"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOTHING)
def test_what_makes_no_bundle(case: str, factory: Factory, tmp_path: Path):
    changes, words = NOTHING[case]
    filled = {name: value.replace("{strangers}", str(factory.ca("strangers"))) for name, value in changes.items()}
    rootfs = factory.root_fs("1.1.0")
    arguments = {"output": str(tmp_path / "out" / "x.raucb"), "rootfs": str(rootfs), **filled}

    done = run(BUNDLE, *factory.arguments("1.1.0", **arguments))

    assert done.returncode == 2 and words in done.stderr
    assert list(tmp_path.glob("out/*")) == []


def test_images_that_do_not_say_their_version(factory: Factory, tmp_path: Path):
    tree = tmp_path / "tree"
    (tree / "usr/lib").mkdir(parents=True)
    (tree / "usr/lib/os-release").write_text("ID=debian\n", encoding="utf-8")
    run("tar", "-C", tree, "-cf", tmp_path / "silent.tar", ".")
    run("tar", "-C", tree / "usr", "-cf", tmp_path / "other.tar", ".")
    for name, words in (("silent", "has no IMAGE_VERSION"), ("other", "is damaged or no root file system")):
        done = run(BUNDLE, *factory.arguments("1.1.0", rootfs=tmp_path / f"{name}.tar", output=tmp_path / "x.raucb"))
        assert done.returncode == 2 and words in done.stderr


def test_info_of_what_is_no_bundle(factory: Factory, tmp_path: Path):
    (tmp_path / "x.raucb").write_bytes(os.urandom(100_000))
    assert "damaged or no bundle" in run(BUNDLE, "--info", tmp_path / "x.raucb").stderr
    done = run(BUNDLE, "--info", tmp_path / "x.raucb", "--keyring", factory.ca() / "ca.pem")
    assert done.returncode == 2 and "x.raucb: " in done.stderr
    assert run(BUNDLE, "--info", tmp_path / "none.raucb").returncode == 2


def test_what_a_root_file_system_gets(factory: Factory, tmp_path: Path):
    keyring = factory.ca() / "ca.pem"
    (tmp_path / "etc").mkdir()
    assert "whose keys lie open" in run(DEPLOY / "put", tmp_path, "--board", "thor", "--keyring", keyring).stderr
    own, both = factory.own_authority(), tmp_path / "both.pem"
    both.write_bytes(own.read_bytes() + keyring.read_bytes())
    assert "whose keys lie open" in run(DEPLOY / "put", tmp_path, "--board", "thor", "--keyring", both).stderr
    assert run(DEPLOY / "put", tmp_path, "--board", "thor", "--keyring", own).returncode == 0
    done = run(DEPLOY / "put", tmp_path, "--board", "thor", "--keyring", keyring, "--development")

    assert done.returncode == 0, done.stderr
    config = (tmp_path / "etc/rauc/system.conf").read_text(encoding="utf-8")
    assert "compatible=edge-alpr-thor" in config and "bundle-formats=verity\n" in config and "@" not in config
    theirs, ours = (place / "usr/lib/sysusers.d" for place in (ROOT / "deploy/image/rootfs", tmp_path))
    for folder in (ours, theirs):
        lines = [line for path in folder.iterdir() for line in path.read_text(encoding="utf-8").splitlines()]
        assert [line for line in lines if line.startswith("g edge-alpr-update")] == ["g edge-alpr-update 10002"]
    assert (ours / "edge-alpr-update.conf").read_bytes() == (theirs / "edge-alpr-update.conf").read_bytes()
    assert "nvbootctrl" in (tmp_path / "usr/lib/edge-alpr/rauc/bootloader").read_text(encoding="utf-8")
    for service in ("nv_update_verifier", "rauc-mark-good"):
        assert (tmp_path / f"etc/systemd/system/{service}.service").readlink() == Path("/dev/null")
    assert "@" not in (tmp_path / "etc/systemd/system/rauc.service.d/edge-alpr.conf").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--board", "orin"], "is none of"), (["--board", "pc"], "is no certificate"), (["--keyring"], "needs a value"),
        (["--board", "pc", "--type", "ubifs"], "neither raw nor ext4"), (["--frob", "x"], "no such option"),
    ],
)  # fmt: skip
def test_what_put_refuses(words: list[str], why: str, tmp_path: Path):
    (tmp_path / "etc").mkdir()
    done = run(DEPLOY / "put", tmp_path, *words)
    assert done.returncode == 2 and why in done.stderr
    assert list((tmp_path / "etc").iterdir()) == []
