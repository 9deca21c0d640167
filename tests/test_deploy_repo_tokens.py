"""Keys on a PKCS#11 token: SoftHSM stands for it. `deploy/repo` itself runs, in processes of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("pkcs11", reason="pip install 'edge-alpr[repo]'")

from deploy.repo_tool.errors import RepoError
from deploy.repo_tool.tokens import TokenKey, parse_uri
from tests.helpers_parts import missing
from tests.helpers_repo import Car, Operator

PIN = "1234"
MODULES = ("/usr/lib/softhsm/libsofthsm2.so", *map(str, Path("/usr/lib").glob("*/softhsm/libsofthsm2.so")))
MAKE_KEYS = """
import sys, pkcs11
from pkcs11.util.ec import encode_named_curve_parameters
token = pkcs11.lib(sys.argv[1]).get_token(token_label="fleet")
with token.open(rw=True, user_pin=sys.argv[2]) as session:
    for number in sys.argv[3:]:
        curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
        parameters.generate_keypair(store=True, id=bytes([int(number)]), label="key " + number)
"""

Tool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def module() -> str:
    found = next(filter(os.path.exists, MODULES), None)
    if not found or not shutil.which("softhsm2-util"):
        missing("softhsm2 is not installed")
    return found


@pytest.fixture(scope="module")
def tool(module: str, tmp_path_factory: pytest.TempPathFactory, repo: Path) -> Tool:
    """`deploy/repo` with a token `fleet` that holds the keys 1 to 3."""
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    environment = {**os.environ, "SOFTHSM2_CONF": str(folder / "softhsm2.conf"), "PYTHONPATH": str(repo)}
    words = ["softhsm2-util", "--init-token", "--free", "--label", "fleet", "--pin", PIN, "--so-pin", PIN]
    subprocess.run(words, env=environment, check=True, capture_output=True)
    subprocess.run([sys.executable, "-c", MAKE_KEYS, module, PIN, "1", "2", "3"], env=environment, check=True)

    def run(*line: str, **changes: str) -> subprocess.CompletedProcess[str]:
        command = [str(repo / "deploy" / "repo"), *line]
        changed = {**environment, **changes}
        return subprocess.run(
            command, env=changed, check=False, text=True, capture_output=True, stdin=subprocess.DEVNULL
        )

    return run


def secret(path: Path, word: str) -> str:
    path.write_text(word, encoding="utf-8")
    path.chmod(0o600)
    return str(path)


def test_a_token_signs_roots_targets_and_timestamps(tool: Tool, module: str, tmp_path: Path):
    folder, pin = tmp_path / "fleet", secret(tmp_path / "pin", PIN)
    line = ["--fleet", str(folder), "--secret-file", pin]
    keys = {"image-root-1": 1, "director-timestamp": 2}
    uris = [f"--key={name}=pkcs11:token=fleet;id=%{n:02d}?module-path={module}" for name, n in keys.items()]

    done = tool(*line, "init", "--online-secret", pin, *uris)
    assert done.returncode == 0, done.stderr
    operator = Operator(folder, Path(pin))
    car = Car(tmp_path / "car", operator.public.as_uri()).begin(operator)
    assert car.wanted() == {}
    assert operator.root("image").keys[operator.root("image").roles["root"].keyids[0]].keytype == "ecdsa"
    assert sorted(path.stem for path in (folder / "keys").iterdir()) == sorted(
        name for name in (f"{r}-{k}" for r in ("director", "image") for k in KINDS) if name not in keys
    )

    uri = f"pkcs11:token=fleet;id=%03?module-path={module}"
    done = tool(*line, "rotate", "image-targets", "--key", uri)
    assert done.returncode == 0, done.stderr
    (tmp_path / "m-1.tar").write_bytes(b"m")
    done = tool(*line, "add", str(tmp_path / "m-1.tar"), "--unit", "models", "--version", "1")
    assert done.returncode == 0, done.stderr
    assert list(car.told("image")) == ["models/m-1.tar"]
    assert operator.root("image").version == 2

    served = (operator.public / "director" / "metadata" / "timestamp.json").read_bytes()
    done = tool(*line, "refresh", SOFTHSM2_CONF=secret(tmp_path / "empty.conf", f"directories.tokendir = {tmp_path}\n"))
    assert (done.returncode, "the token is not here" in done.stderr) == (2, True)
    secret(tmp_path / "pin", "9999")
    done = tool(*line, "refresh")
    assert done.returncode == 2
    assert re.fullmatch(r"deploy/repo: .*: (wrong passphrase.*|cannot sign: Pin.*)\n", done.stderr), done.stderr
    assert (operator.public / "director" / "metadata" / "timestamp.json").read_bytes() == served


KINDS = ("root-1", "root-2", "root-3", "targets", "snapshot", "timestamp")


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("pkcs11:token=a;id=%01?pin-value=1234", "a PIN does not belong into a URI"),
        ("pkcs11:token=a", "does not name a token and a key on it"),
        ("pkcs11:id=%01", "does not name a token and a key on it"),
    ],
)
def test_a_uri_names_a_token_and_a_key_and_no_pin(uri: str, reason: str):
    with pytest.raises(RepoError, match=reason):
        parse_uri(uri)
    assert parse_uri("pkcs11:token=my%20key;id=%01%02?module-path=/l.so") == TokenKey("my key", 258, "/l.so")


def test_the_command_says_what_is_wrong_in_one_line(tool: Tool, tmp_path: Path):
    done = tool("--fleet", str(tmp_path), "status")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"deploy/repo: {tmp_path}: no fleet.toml; make it with deploy/repo --fleet FOLDER init\n"
