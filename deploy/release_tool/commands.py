"""scripts/release: make a release of the tag that is checked out, or check one. Nothing is ever pushed or uploaded."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from edge_alpr.errors import EdgeAlprError
from release_tool.bundle import BundleKeys
from release_tool.check import check
from release_tool.lock import PYTHONS
from release_tool.make import Order, make
from release_tool.signing import FileSigner, Signer
from release_tool.token import TokenSigner

_ROOT = Path(__file__).resolve().parents[2]
_screen, _aside = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

Verify = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Check this release, and make none.")]
Key = Annotated[str, typer.Option(help="Private key (Ed25519 in PEM, or pkcs11:…); with --verify the public key.")]
Unsigned = Annotated[bool, typer.Option("--unsigned", help="Without a signature: only for trying it out.")]
Out = Annotated[Path, typer.Option(help="Folder in which the release's own is made.")]
Images = Annotated[list[Path] | None, typer.Option("--image", help="Root file system edge-alpr-BOARD-VERSION.….")]
Pythons = Annotated[list[str] | None, typer.Option("--python", help="Pythons of devices; else 3.10 and 3.12.")]
BundleCert = Annotated[Path | None, typer.Option(help="Certificate that signs bundles of the images.")]
BundleKey = Annotated[str, typer.Option(help="Its key: a file or a PKCS#11 URI.")]
BundleKeyring = Annotated[Path | None, typer.Option(help="The devices' keyring.")]
Root = Annotated[Path, typer.Option(hidden=True)]


def _signer(key: str, *, unsigned: bool) -> Signer | None:
    if unsigned == bool(key):
        raise typer.BadParameter("give a key that signs, or say --unsigned", param_hint="--key")
    if unsigned:
        return None
    if key.startswith("pkcs11:"):
        return TokenSigner(key)
    closed = b"ENCRYPTED" in Path(key).read_bytes()[:4096] if Path(key).is_file() else False
    return FileSigner(Path(key), getpass.getpass(f"passphrase of {key}: ").encode() if closed else None)


def _bundle_keys(certificate: Path | None, key: str, keyring: Path | None) -> BundleKeys | None:
    if certificate is not None and key and keyring is not None:
        return BundleKeys(certificate.resolve(), key, keyring.resolve())
    if certificate is None and not key and keyring is None:
        return None
    raise typer.BadParameter("certificate, key and keyring belong together", param_hint="--bundle-cert")


@app.command(help=__doc__)
def release(
    *, verify: Verify = None, key: Key = "", unsigned: Unsigned = False, out: Out = _ROOT / "dist",
    image: Images = None, bundle_cert: BundleCert = None, bundle_key: BundleKey = "",
    bundle_keyring: BundleKeyring = None, python: Pythons = None, root: Root = _ROOT,
) -> None:  # fmt: skip
    """See the module."""
    if verify is not None:
        if unsigned == bool(key):
            raise typer.BadParameter("give the public key that you trust, or say --unsigned", param_hint="--key")
        count = check(verify, None if unsigned else Path(key))
        _screen.print(f"{count} files are {'whole' if unsigned else 'whole and signed by that key'}: {verify}")
        return
    keys = _bundle_keys(bundle_cert, bundle_key, bundle_keyring)
    signer = _signer(key, unsigned=unsigned)
    order = Order(root, out, signer, tuple(image or ()), keys, tuple(python or PYTHONS))
    with _aside.status("release") as status:
        folder = make(order, lambda step: status.update(f"release: {step}"))
    _screen.print(f"{folder}\nnothing was pushed; what comes next is in docs/release.md")


def main() -> None:
    """Entry of the command line."""
    try:
        app()
    except EdgeAlprError as error:
        _aside.print(f"release: {error}", markup=False)
        sys.exit(2)
