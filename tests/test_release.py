"""A release of a small clone: whole, the same twice, signed; and all that it refuses."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from io import BytesIO
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from helpers_parts import missing
from release_tool.bundle import BundleKeys, add_images, board_of
from release_tool.check import check
from release_tool.commands import app
from release_tool.lock import EXTRAS, SOURCE_ONLY
from release_tool.make import Order, make
from release_tool.recipe import RECIPES, write_recipe
from release_tool.signing import FileSigner, SignatureError, load_public_key, pem_of, verify
from release_tool.sums import parse_sums
from release_tool.token import TokenSigner, parse_uri
from release_tool.tree import ReleaseError, Tree, look, notes_of, tag_of
from typer.testing import CliRunner

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

COPIED = ("pyproject.toml", "README.md", "LICENSE", ".gitignore", ".dockerignore", "Dockerfile.jetson", "compose.yaml",
          "edge_alpr", "engines", "deploy", "scripts")  # fmt: skip
CHANGELOG = "# Log\n\n## [Unreleased]\n\n## [7.1.0] - 2026-11-28\n\n### Added\n\n- A thing.\n\n## [7.0.0]\n\n- Old.\n"
WHO = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a",
       "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": os.devnull}  # fmt: skip


Spoil = Callable[[Path], None]


def sh(folder: Path, *argv: str, **more: str) -> str:
    environment = {**os.environ, **WHO, **more}
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tree(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of its own with this tree's files, at v7.1.0; what lints there is quick."""
    folder = tmp_path_factory.mktemp("tree")
    for name in COPIED:
        if (repo / name).is_dir():
            shutil.copytree(repo / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(repo / name, folder / name)
    (folder / "CHANGELOG.md").write_text(CHANGELOG)
    (folder / "scripts/lint").write_text("#!/bin/sh\necho linted\n! grep -q 'lint: bad' README.md\n")
    sh(folder, "git", "init", "--quiet", "--initial-branch=main")
    sh(folder, "git", "add", "--all")
    sh(folder, "git", "commit", "--quiet", "--message", "All of it")
    sh(folder, "git", "tag", "v7.1.0")
    return folder


def make_sdist(path: Path, stem: str, name: str, version: str) -> None:
    """Sources of a package without a module."""
    project = f'[project]\nname = "{name}"\nversion = "{version}"\n[tool.setuptools]\npy-modules = []\n'
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    with tarfile.open(path, "w:gz") as tar:
        for file, text in {"pyproject.toml": project, "PKG-INFO": about}.items():
            entry = tarfile.TarInfo(f"{stem}/{file}")
            entry.size = len(text)
            tar.addfile(entry, BytesIO(text.encode()))


@pytest.fixture(scope="module")
def index(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-ins of all packages that the wheel asks for, in the least version: no network is needed."""
    folder = tmp_path_factory.mktemp("index")
    project = tomllib.loads((repo / "pyproject.toml").read_text())["project"]
    extras = [project["optional-dependencies"][extra] for extra in sorted(EXTRAS)]
    asked = [*project["dependencies"], *chain.from_iterable(extras), "exceptiongroup>=1.2"]
    needs_of = {"msgspec": "typing-extensions", "starlette": "exceptiongroup; python_version < '3.11'"}
    for requirement in map(Requirement, asked):
        version = next(iter(requirement.specifier)).version
        stem = f"{requirement.name.replace('-', '_')}-{version}"
        needs = f"Requires-Dist: {needs_of[requirement.name]}\n" if requirement.name in needs_of else ""
        about = f"Name: {requirement.name}\nVersion: {version}\nLicense-Expression: MIT\n{needs}\n"
        if requirement.name in SOURCE_ONLY:
            make_sdist(folder / f"{stem}.tar.gz", stem, requirement.name, version)
            continue
        with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.4\n{about}")
            wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{stem}.dist-info/RECORD", "")
    return folder


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Ed25519 key; its public half lies beside it."""
    path = tmp_path_factory.mktemp("key") / "release.pem"
    sh(path.parent, "openssl", "genpkey", "-algorithm", "ed25519", "-out", str(path))
    path.chmod(0o600)
    sh(path.parent, "openssl", "pkey", "-in", str(path), "-pubout", "-out", str(path.with_suffix(".pub")))
    return path


def release(repo: Path, *arguments: str, index: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command, from this tree."""
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)} if index else {}
    return subprocess.run(
        [sys.executable, "-m", "release_tool", *arguments],
        env={**os.environ, **offline, "PYTHONPATH": f"{repo / 'deploy'}:{repo}", "GIT_CONFIG_GLOBAL": os.devnull},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(repo: Path, tree: Path, index: Path, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release with an image."""
    out = tmp_path_factory.mktemp("out")
    image = out / "edge-alpr-orin-nano-7.1.0.tar"
    image.write_bytes(b"an image")
    done = release(repo, "--root", str(tree), "--out", str(out), "--key", str(key),
                   "--image", str(image), "--python", "3.10", index=index)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["edge-alpr-7.1.0", image.name]
    return out / "edge-alpr-7.1.0"


def test_a_release_has_all_its_parts(made: Path):
    assert sorted(path.name for path in made.iterdir()) == [
        "RELEASE_NOTES.md", "SHA256SUMS", "SHA256SUMS.sig", "edge-alpr-container-7.1.0.tar.gz",
        "edge-alpr-image-7.1.0.tar.gz", "edge-alpr-orin-nano-7.1.0.tar", "edge_alpr-7.1.0-py3-none-any.whl",
        "edge_alpr-7.1.0.tar.gz", "release.pub", "requirements-py310-aarch64.txt", "sbom-py310-aarch64.cdx.json",
    ]  # fmt: skip
    assert (made / "RELEASE_NOTES.md").read_text() == "# edge-alpr 7.1.0\n\n### Added\n\n- A thing.\n"


def test_the_tree_is_left_as_it_was(made: Path, tree: Path):
    assert not sh(tree, "git", "status", "--porcelain", "--ignored")


def test_the_wheel_is_of_the_tag_and_of_the_commit_s_time(made: Path, tree: Path):
    epoch = int(sh(tree, "git", "log", "-1", "--format=%ct"))
    with zipfile.ZipFile(made / "edge_alpr-7.1.0-py3-none-any.whl") as wheel:
        metadata = wheel.read("edge_alpr-7.1.0.dist-info/METADATA").decode()
        stamps = {entry.date_time for entry in wheel.infolist()}

    assert "\nVersion: 7.1.0\n" in metadata
    assert stamps == {time.gmtime(epoch - epoch % 2)[:6]}, "zip has even seconds"
    with gzip.open(made / "edge_alpr-7.1.0.tar.gz") as sdist, tarfile.open(fileobj=sdist) as tar:
        assert {member.mtime for member in tar} == {epoch}


def test_an_sdist_knows_its_version_without_git(made: Path, tmp_path: Path):
    with tarfile.open(made / "edge_alpr-7.1.0.tar.gz") as tar:
        tar.extractall(tmp_path)

    said = sh(tmp_path / "edge_alpr-7.1.0", sys.executable, "-m", "hatchling", "version")
    assert said.strip() == "7.1.0"


def test_the_container_s_recipe_builds_by_itself_and_has_the_version(made: Path, tmp_path: Path):
    with tarfile.open(made / "edge-alpr-container-7.1.0.tar.gz") as tar:
        tar.extractall(tmp_path)
    folder = tmp_path / "edge-alpr-container-7.1.0"
    recipe = (folder / "Dockerfile.jetson").read_text()
    copied = [name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", recipe, re.MULTILINE) for name in line.split()]

    assert "\nARG VERSION=7.1.0\n" in recipe
    assert not [name for name in copied if not (folder / name).exists()]
    assert os.access(folder / "deploy/container/healthy", os.X_OK)


def test_a_recipe_is_the_same_each_time(made: Path, tree: Path, tmp_path: Path):
    for recipe in RECIPES:
        again = write_recipe(look(tree), recipe, tmp_path)
        assert again.read_bytes() == (made / again.name).read_bytes()


def test_sources_without_git_get_a_version_that_is_given_and_else_are_0(made: Path, tmp_path: Path):
    with tarfile.open(made / "edge-alpr-container-7.1.0.tar.gz") as tar:
        tar.extractall(tmp_path)
    folder = tmp_path / "edge-alpr-container-7.1.0"

    ask = (sys.executable, "-m", "hatchling", "version")
    assert sh(folder, *ask, SETUPTOOLS_SCM_PRETEND_VERSION="7.1.0").strip() == "7.1.0"
    assert sh(folder, *ask, SETUPTOOLS_SCM_PRETEND_VERSION="").strip() == "0.0.0"


def test_a_clone_without_tags_still_gives_a_version(tree: Path, tmp_path: Path):
    sh(tmp_path, "git", "clone", "--quiet", "--no-tags", "--depth", "1", f"file://{tree}", "clone")

    assert sh(tmp_path / "clone", sys.executable, "-m", "hatchling", "version").strip() == "0.0.1.dev1"
    sh(tmp_path / "clone", "git", "tag", "another-thing")  # a tag that is no release's
    assert sh(tmp_path / "clone", sys.executable, "-m", "hatchling", "version").strip() == "0.0.1.dev1"


def test_the_bill_of_materials_names_packages_and_networks(made: Path):
    bom = json.loads((made / "sbom-py310-aarch64.cdx.json").read_text())
    lock = (made / "requirements-py310-aarch64.txt").read_text()
    parts = {part["name"]: part for part in bom["components"]}

    assert (bom["specVersion"], bom["metadata"]["component"]["version"]) == ("1.6", "7.1.0")
    assert f"numpy==1.26 --hash=sha256:{parts['numpy']['hashes'][0]['content']}\n" in lock
    assert "tomli==" in lock, "which Python 3.10 lacks, whatever Python makes the release"
    assert "exceptiongroup==" in lock, "which only what it asks for asks for"
    assert parts["numpy"]["licenses"][0]["license"]["id"] == "MIT"
    assert parts["plate-reader"]["type"] == "machine-learning-model"
    assert parts["plate-reader"]["licenses"][0]["license"]["id"] == "Apache-2.0"
    assert parts["sdnotify"]["properties"][0]["value"] == "sdnotify-0.3.2.tar.gz", "of which there is no wheel"
    assert "onnxruntime" in parts and "tuf" in parts and "edge-alpr" not in parts
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in bom["dependencies"]}
    assert needs["pkg:pypi/msgspec@0.19"] == ["pkg:pypi/typing-extensions@4.10"]


def test_anyone_can_check_it_with_openssl_and_sha256sum(made: Path, key: Path):
    sh(made, "sha256sum", "--check", "--strict", "SHA256SUMS")
    sums = ("-in", "SHA256SUMS", "-sigfile", "SHA256SUMS.sig")
    sh(made, "openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(key.with_suffix(".pub")), "-rawin", *sums)
    assert len(parse_sums((made / "SHA256SUMS").read_text())) == 8


def test_verify_takes_it_and_nothing_that_was_changed(made: Path, key: Path, tmp_path: Path):
    public = key.with_suffix(".pub")
    done = CliRunner().invoke(app, ["--verify", str(made), "--key", str(public)])
    assert done.exit_code == 0

    other = tmp_path / "other.pub"
    other.write_bytes(pem_of(Ed25519PrivateKey.generate().public_key()))
    with pytest.raises(ReleaseError, match="another key"):
        check(made, other)
    spoilt: list[tuple[Callable[[Path], object], str]] = [
        (lambda folder: (folder / "RELEASE_NOTES.md").write_text("x"), "RELEASE_NOTES.md was changed"),
        (lambda folder: (folder / "extra").write_text("x"), "extra is in no sum"),
        (lambda folder: (folder / "edge_alpr-7.1.0.tar.gz").unlink(), "edge_alpr-7.1.0.tar.gz is missing"),
        (lambda folder: (folder / "SHA256SUMS").write_text(""), "does not hold"),
        (lambda folder: (folder / "SHA256SUMS.sig").unlink(), "no signed release"),
    ]
    for spoil, said in spoilt:
        folder = tmp_path / hashlib.sha256(said.encode()).hexdigest()
        shutil.copytree(made, folder)
        spoil(folder)
        with pytest.raises(ReleaseError, match=re.escape(said)):
            check(folder, public)


def _dirty(tree: Path) -> None:
    (tree / "new.py").write_text("x = 1\n")


def _untagged(tree: Path) -> None:
    sh(tree, "git", "tag", "--delete", "v7.1.0")


def _later(tree: Path) -> None:
    sh(tree, "git", "commit", "--quiet", "--allow-empty", "--message", "More")


def _retag(tag: str) -> Spoil:
    def spoil(tree: Path) -> None:
        sh(tree, "git", "tag", "--delete", "v7.1.0")
        sh(tree, "git", "tag", tag)

    return spoil


def _lint(tree: Path) -> None:
    (tree / "README.md").write_text("lint: bad\n")
    sh(tree, "git", "commit", "--quiet", "--all", "--message", "Bad")
    sh(tree, "git", "tag", "--force", "v7.1.0")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_dirty, "the tree is not clean"),
        (_untagged, "the commit has no tag"),
        (_later, "the commit has no tag"),
        (_retag("release-7"), "is no version"),
        (_retag("v7.2.0"), "CHANGELOG.md says nothing of 7.2.0"),
        (_lint, "scripts/lint failed"),
    ],
)
def test_what_may_not_be_released_is_refused(spoil: Spoil, said: str, tree: Path, tmp_path: Path):
    sh(tmp_path, "git", "clone", "--quiet", str(tree), "clone")
    spoil(tmp_path / "clone")

    with pytest.raises(ReleaseError, match=re.escape(said)):
        make(Order(tmp_path / "clone", tmp_path / "out", None), print)
    assert not (tmp_path / "out").exists()


def test_a_version_is_released_once(repo: Path, tree: Path, made: Path, key: Path):
    done = release(repo, "--root", str(tree), "--out", str(made.parent), "--key", str(key))

    assert done.returncode == 2
    assert "is there already" in done.stderr


def test_a_release_is_signed_unless_one_says_so(tree: Path, tmp_path: Path):
    for arguments in ([], ["--verify", str(tmp_path)], ["--unsigned", "--key", "x"]):
        done = CliRunner().invoke(app, ["--root", str(tree), "--out", str(tmp_path), *arguments])
        assert done.exit_code == 2
        assert "--unsigned" in done.output


def test_a_bundle_takes_certificate_key_and_keyring(tree: Path, tmp_path: Path):
    arguments = ["--root", str(tree), "--out", str(tmp_path), "--unsigned", "--bundle-key", "x"]
    done = CliRunner().invoke(app, arguments)

    assert done.exit_code == 2
    assert "belong together" in done.output


def test_tags_and_sections_are_taken_as_written():
    assert tag_of(["v1.2.0rc1", "nightly"]) == "1.2.0rc1"
    for tags in ([], ["1.2.0"], ["v1.2"], ["v1.2.0", "v1.2.1"], ["v1.2.0-3-gabc"]):
        with pytest.raises(ReleaseError):
            tag_of(tags)
    assert notes_of(CHANGELOG, "7.0.0") == "- Old.\n"
    for version in ("7.1", "Unreleased", "7.1.0rc1"):
        with pytest.raises(ReleaseError, match="says nothing"):
            notes_of(CHANGELOG, version)


def test_each_image_gets_its_bundle(tmp_path: Path):
    (tmp_path / "deploy").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "deploy/bundle").write_text('#!/bin/sh\necho "$@" >"${0%/*}/said"\ntest "$4" = 7.1.0\n')
    (tmp_path / "deploy/bundle").chmod(0o755)
    image = tmp_path / "edge-alpr-thor-7.1.0.squashfs"
    image.write_bytes(b"an image")
    keys = BundleKeys(Path("c.pem"), "pkcs11:x", Path("ring.pem"))
    add_images(Tree(tmp_path, "7.1.0", "c0ffee", 0, "notes"), (image,), keys, tmp_path / "out")

    place = tmp_path / "out"
    assert (tmp_path / "deploy/said").read_text().split() == [
        "--rootfs", f"{place}/{image.name}", "--version", "7.1.0", "--board", "thor", "--cert", "c.pem",
        "--key", "pkcs11:x", "--keyring", "ring.pem", "--output", f"{place}/edge-alpr-thor-7.1.0.raucb",
    ]  # fmt: skip
    other = image.rename(tmp_path / "edge-alpr-thor-7.2.0.squashfs")
    with pytest.raises(ReleaseError, match="the bundle for thor failed"):
        add_images(Tree(tmp_path, "7.2.0", "c0ffee", 0, "notes"), (other,), keys, place)


def test_a_tar_is_for_flashing_and_gets_no_bundle(tmp_path: Path):
    (tmp_path / "deploy").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "deploy/bundle").write_text('#!/bin/sh\necho "$2" >>"${0%/*}/said"\n')
    (tmp_path / "deploy/bundle").chmod(0o755)
    keys = BundleKeys(Path("c.pem"), "pkcs11:x", Path("ring.pem"))
    named = {end: tmp_path / f"edge-alpr-thor-7.1.0.{end}" for end in ("tar", "tar.zst", "ext4", "squashfs")}
    for image in named.values():
        image.write_bytes(b"an image")
    of_tag, place = Tree(tmp_path, "7.1.0", "c0ffee", 0, "notes"), tmp_path / "out"

    with pytest.raises(ReleaseError, match="two images for thor would give one bundle"):
        add_images(of_tag, (named["ext4"], named["squashfs"]), keys, place)
    assert not list(place.iterdir())
    add_images(of_tag, (named["tar"], named["ext4"], named["tar.zst"]), keys, place)

    assert (tmp_path / "deploy/said").read_text().split() == [f"{place}/edge-alpr-thor-7.1.0.ext4"]
    assert len(list(place.iterdir())) == 3


def test_images_say_board_and_version():
    assert board_of(Path("edge-alpr-agx-orin-7.1.0.tar.zst"), "7.1.0") == "agx-orin"
    for name in ("edge-alpr-orin-nano-7.0.0.tar", "image.tar", "edge-alpr-orin-nano-7.1.0.zip"):
        with pytest.raises(ReleaseError, match="build it at the tag"):
            board_of(Path(name), "7.1.0")


def test_a_key_that_others_may_read_or_of_another_kind_is_refused(key: Path, tmp_path: Path):
    copy = tmp_path / "key.pem"
    shutil.copy(key, copy)
    copy.chmod(0o644)
    with pytest.raises(SignatureError, match="chmod 600"):
        FileSigner(copy)
    sh(tmp_path, "openssl", "genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "rsa.pem")
    (tmp_path / "rsa.pem").chmod(0o600)
    with pytest.raises(SignatureError, match="no Ed25519 key"):
        FileSigner(tmp_path / "rsa.pem")
    with pytest.raises(SignatureError, match="no public key"):
        load_public_key(key)


def test_a_key_with_a_passphrase_signs(key: Path, tmp_path: Path):
    plain = serialization.load_pem_private_key(key.read_bytes(), None)
    closed = tmp_path / "closed.pem"
    form = serialization.BestAvailableEncryption(b"words")
    closed.write_bytes(plain.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, form))
    closed.chmod(0o600)
    verify(load_public_key(key.with_suffix(".pub")), b"sums", FileSigner(closed, b"words").sign(b"sums"))
    with pytest.raises(SignatureError, match="passphrase"):
        FileSigner(closed, b"other")


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A token in software with a key on it; its URI."""
    module = next((path for path in map(Path, ("/usr/lib/softhsm/libsofthsm2.so",)) if path.is_file()), None)
    if module is None or not shutil.which("softhsm2-util"):
        missing("softhsm2 is not installed")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    sh(tmp_path, "softhsm2-util", "--init-token", "--free", "--label", "release", "--pin", "1234", "--so-pin", "5678")
    sh(tmp_path, "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "ec.pem")
    key = ("--label", "signing", "--id", "01", "--pin", "1234")
    sh(tmp_path, "softhsm2-util", "--import", "ec.pem", "--token", "release", *key)
    (tmp_path / "pin").write_text("1234\n")
    (tmp_path / "pin").chmod(0o600)
    return f"pkcs11:token=release;object=signing?module-path={module}&pin-source=file:{tmp_path}/pin"


def test_a_token_signs_and_openssl_takes_it(token: str, tmp_path: Path):
    signer = TokenSigner(token)
    (tmp_path / "sums").write_bytes(b"sums")
    (tmp_path / "sig").write_bytes(signer.sign(b"sums"))
    (tmp_path / "pub").write_bytes(pem_of(signer.public))

    verify(load_public_key(tmp_path / "pub"), b"sums", (tmp_path / "sig").read_bytes())
    sh(tmp_path, "openssl", "dgst", "-sha256", "-verify", "pub", "-signature", "sig", "sums")
    with pytest.raises(SignatureError, match="changed"):
        verify(signer.public, b"other", (tmp_path / "sig").read_bytes())


def test_a_token_that_is_not_there_or_lacks_the_key_is_told(token: str, tmp_path: Path):
    with pytest.raises(SignatureError, match="no token 'other'"):
        TokenSigner(token.replace("token=release", "token=other"))
    with pytest.raises(SignatureError, match="holds 0 keys"):
        TokenSigner(token.replace("object=signing", "object=none"))
    (tmp_path / "pin").write_text("0000")
    with pytest.raises(SignatureError, match="cannot be used"):
        TokenSigner(token)
    with pytest.raises(SignatureError, match="lacks object"):
        parse_uri("pkcs11:token=x?module-path=/x.so")
    (tmp_path / "pin").chmod(0o640)
    with pytest.raises(SignatureError, match="chmod 600"):
        TokenSigner(token)
    with pytest.raises(SignatureError, match="pin-source=file:FILE") as refused:
        parse_uri("pkcs11:token=x;object=y?module-path=/x.so&pin-value=4711")
    assert "4711" not in str(refused.value)
