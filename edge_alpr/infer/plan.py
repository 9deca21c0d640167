"""Plan files and their sidecars: what TensorRT built, for what, and whether it reads as the ONNX reference does.

A plan is used only if its sidecar is untouched, its bytes are those that were built, its identity is the wanted one in
every field, and the golden check passed. The hashes find damage and mistakes; they keep no attacker out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edge_alpr.errors import PlanError
from edge_alpr.infer.atomic import write_whole
from edge_alpr.infer.identity import Identity, Sha256, differences

_MOST_SIDECAR_BYTES = 1 << 20
_REBUILD = "rebuild it here: edge-alpr build"


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a plan did on the golden frames beside the ONNX reference. `problem` is empty where it passed."""

    problem: str
    frames: int
    plates: int
    corners_px: float
    """The corner that lies farthest from the reference's."""
    score: float
    """The largest difference of a score."""
    texts: int
    texts_same: int
    limits: str

    @property
    def passed(self) -> bool:
        """Whether the plan may be used."""
        return not self.problem


class Sidecar(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What lies beside a plan as JSON, always the same bytes for the same content."""

    format: int = 1
    identity: Identity
    plan_sha256: Sha256 = "0" * 64
    """Of the plan, as its size is; `write_plan` fills them in."""
    plan_bytes: int = 0
    builder: str
    """Program and version that built it."""
    built: str
    """UTC, ISO 8601."""
    seconds: float
    golden: Golden | None = None
    """None: not checked yet."""
    seal: str = ""
    """sha256 of all else."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan whose bytes are the ones its sidecar speaks of."""

    path: Path
    sidecar: Sidecar
    data: bytes = field(repr=False)


def sidecar_path(plan: Path) -> Path:
    """Beside the plan, with the ending `.json`."""
    return plan.with_suffix(".json")


def format_sidecar(sidecar: Sidecar) -> bytes:
    """The sidecar as JSON, sealed."""
    sealed = msgspec.structs.replace(sidecar, seal=_seal(sidecar))
    return msgspec.json.format(msgspec.json.encode(sealed), indent=2) + b"\n"


def write_plan(folder: Path, data: bytes, sidecar: Sidecar) -> Plan:
    """Write a plan and then its sidecar, each whole. Raises `PlanError`; a plan without its sidecar is never used."""
    path = folder / sidecar.identity.file_name
    sidecar = msgspec.structs.replace(sidecar, plan_sha256=_sha256(data), plan_bytes=len(data))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
        write_whole(sidecar_path(path), format_sidecar(sidecar))
    except OSError as error:
        reason = f"cannot be written: {error.strerror}; free some space or name another folder: --out"
        raise PlanError(f"{path}: {reason}") from error
    return Plan(path, sidecar, data)


def record_golden(plan: Plan, golden: Golden) -> Plan:
    """Keep the result of the golden check in the sidecar. Raises `PlanError`; the old sidecar then stays."""
    sidecar = msgspec.structs.replace(plan.sidecar, golden=golden)
    try:
        write_whole(sidecar_path(plan.path), format_sidecar(sidecar))
    except OSError as error:
        raise PlanError(f"{sidecar_path(plan.path)}: cannot be written: {error.strerror}; free some space") from error
    return Plan(plan.path, sidecar, plan.data)


def find_plan(folder: Path, identity: Identity) -> Plan:
    """The plan for exactly this identity, proven. Raises `PlanError` with the first reason why there is none."""
    plan = find_built(folder, identity)
    golden = plan.sidecar.golden
    if golden is None:
        raise PlanError(f"{plan.path}: its golden check was not run; run it here: edge-alpr build")
    if not golden.passed:
        raise PlanError(f"{plan.path}: its golden check failed: {golden.problem}; {_REBUILD}")
    return plan


def find_built(folder: Path, identity: Identity) -> Plan:
    """The same, but the golden check may be missing or failed: only for who runs that check."""
    path = folder / identity.file_name
    if not path.exists() and not sidecar_path(path).exists():
        raise PlanError(_nearest(folder, identity))
    sidecar = _read_sidecar(path)
    for difference in differences(sidecar.identity, identity):
        raise PlanError(f"{path}: {difference}; {_REBUILD}")
    data = _read(path)
    if len(data) != sidecar.plan_bytes:
        raise PlanError(f"{path}: it has {len(data)} bytes, {sidecar.plan_bytes} were built; {_REBUILD}")
    if _sha256(data) != sidecar.plan_sha256:
        raise PlanError(f"{path}: it is not what was built (its sha256 differs); {_REBUILD}")
    return Plan(path, sidecar, data)


def forget_older(folder: Path, identity: Identity, keep: int = 2) -> list[Path]:
    """Delete plans of the same model that were built longest ago; gives what went.

    Two stay, so that an update that is taken back finds its plan again. Raises `PlanError`.
    """
    same = [(path, one) for path, one in _sidecars(folder) if one.identity.model == identity.model]
    others = [path for path, one in sorted(same, key=lambda found: found[1].built) if one.identity != identity]
    gone = others[: max(0, len(others) - (keep - 1))]
    try:
        for path in gone:
            sidecar_path(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
    except OSError as error:
        raise PlanError(f"{folder}: old plans cannot be deleted: {error.strerror}; check its rights") from error
    return gone


def _nearest(folder: Path, wanted: Identity) -> str:
    """Why there is no plan: how the one most like the wanted one differs, else that there is none."""
    others = [(differences(one.identity, wanted), path) for path, one in _sidecars(folder)]
    same_model = [(found, path) for found, path in others if found and not found[0].startswith("it is of the model")]
    if not same_model:
        return f"{folder}: no plan of {wanted.model} lies there; build it here: edge-alpr build"
    found, path = min(same_model, key=lambda other: (len(other[0]), other[1].name))
    return f"{path}: {found[0]}; {_REBUILD}"


def _sidecars(folder: Path) -> Iterator[tuple[Path, Sidecar]]:
    """The plans of a folder whose sidecars hold."""
    for path in sorted(folder.glob("[!.]*.plan")):
        try:
            yield path, _read_sidecar(path)
        except PlanError:
            continue  # only asked for hints; the one that is wanted tells its own trouble


def _read_sidecar(plan: Path) -> Sidecar:
    path = sidecar_path(plan)
    if not path.exists():
        raise PlanError(f"{plan}: it has no sidecar {path.name}; {_REBUILD}")
    text = _read(path, _MOST_SIDECAR_BYTES)
    try:
        sidecar = msgspec.json.decode(text, type=Sidecar)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: no UTF-8
        reason = str(error).replace("`", "'")
        raise PlanError(f"{path}: the sidecar does not hold: {reason}; {_REBUILD}") from error
    if format_sidecar(sidecar) != text:  # the seal is part of it
        raise PlanError(f"{path}: the sidecar was changed after it was written; {_REBUILD}")
    return sidecar


def _read(path: Path, most: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise PlanError(f"{path}: cannot be read: {error.strerror}; {_REBUILD}") from error


def _seal(sidecar: Sidecar) -> str:
    return _sha256(msgspec.json.encode(msgspec.structs.replace(sidecar, seal=""), order="sorted"))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
