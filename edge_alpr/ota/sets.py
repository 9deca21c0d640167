"""The life of a model set: unpacked, proven, run beside the old one, switched to, watched, kept or back."""

from __future__ import annotations

from pathlib import Path

from edge_alpr.errors import UpdateError
from edge_alpr.ota import state as states
from edge_alpr.ota.images import ASKED
from edge_alpr.ota.ledger import Ledger
from edge_alpr.ota.shadow import Outcome, ShadowLimits, judge, read_shadow
from edge_alpr.ota.state import MOST_BOOTS, NO_VERDICT, Pending
from edge_alpr.ota.types import MODELS, Proof
from edge_alpr.ota.versions import Versions

TRIAL, RESULT = "trial", "trial.json"
"""The link to the set that the reader runs beside, and what it writes of that."""


class ModelSets:
    """One unit of `Agent`. Every method may be called again after a cut."""

    def __init__(self, ledger: Ledger, folder: Path, proof: Proof, boot: str, limits: ShadowLimits) -> None:
        self._ledger, self._proof, self._boot, self._limits = ledger, proof, boot, limits
        self.watch = 1
        """How often a set in use must be found at work before it is kept."""
        self.versions = Versions(ledger.disk, folder, MODELS)

    def running(self) -> str:
        """The set in use; empty: the one that came with the image."""
        return self.versions.current()

    def install(self, archive: Path) -> None:
        """Unpack and prove a set, and let the reader run it beside. Raises `UpdateError`."""
        ledger, versions = self._ledger, self.versions
        version = ledger.state.pending[MODELS].target.version
        versions.unpack(archive, version)
        verdict = self._proof(MODELS, versions.folder / version)
        if not verdict.good:
            self._end("refused", verdict.why)
            return
        versions.disk.drop(versions.folder / RESULT)  # of an earlier try
        ledger.save(states.moved(ledger.state, MODELS, "trial", ledger.now_s, before=versions.current()))
        self.settle(watch=False)

    def after_boot(self) -> None:
        """Mend what a disk fault has torn, count boots on watch, and take up what a cut has interrupted."""
        versions, current = self.versions, self.versions.current()
        versions.disk.folder(versions.folder)  # the reader looks there from the first day on
        ledger, pending = self._ledger, self._ledger.state.pending.get(MODELS)
        if current and versions.torn(current):
            self._mend(current, pending)
        pending = ledger.state.pending.get(MODELS)
        if pending and pending.stage in ("trial", "switching", "written"):
            ledger.save(states.booted(ledger.state, MODELS, self._boot))
            boots = ledger.state.pending[MODELS].boots
            if pending.stage != "trial" and boots > MOST_BOOTS:
                ledger.save(states.returning(ledger.state, MODELS, NO_VERDICT))
        self.settle(watch=False)

    def settle(self, watch: bool = True) -> None:
        """Go on as far as is possible now. `watch`: also see whether a set in use is at work, which takes a minute."""
        versions = self.versions
        for _ in range(len(states.Stage.__args__)):  # type: ignore[attr-defined]  # each step is a stage on
            pending = self._ledger.state.pending.get(MODELS)
            if pending is None or pending.stage in ("available", "downloaded"):
                break
            if not self._step(pending, watch):
                return
        if versions.disk.said(versions.folder / TRIAL):
            versions.disk.drop(versions.folder / TRIAL)
        self.prune()

    def rollback(self) -> None:
        """Back to the set before, as somebody wants. Raises `UpdateError` where the shipped set is in use."""
        ledger, current = self._ledger, self.versions.current()
        pending = ledger.state.pending.get(MODELS)
        if not current and (pending is None or pending.stage in ("available", "downloaded")):
            raise UpdateError("models: the set that came with the image is in use; there is none before it")
        state = ledger.state
        if pending is None or pending.stage in ("available", "downloaded"):  # which gives way
            state = states.begun(state, states.lost_target(MODELS, current), ledger.now_s)
            state = states.moved(state, MODELS, "written", ledger.now_s, before=state.previous.get(MODELS, ""))
        ledger.save(states.returning(state, MODELS, ASKED, asked=True))
        self.settle(watch=False)

    def prune(self) -> None:
        """Delete the sets that nothing can come back to."""
        state = self._ledger.state
        pending = state.pending.get(MODELS)
        keep = {state.previous.get(MODELS, ""), *((pending.before, pending.target.version) if pending else ())}
        self.versions.prune(keep)

    def _step(self, pending: Pending, watch: bool) -> bool:
        """One stage on; False: it must wait."""
        if pending.stage == "trial":
            return self._shadowed(pending)
        if pending.stage == "switching":
            return self._switch(pending)
        if pending.stage == "written":
            return watch and self._watched(pending)
        return self._return(pending)

    def _shadowed(self, pending: Pending) -> bool:
        ledger, versions, version = self._ledger, self.versions, pending.target.version
        seen = read_shadow(ledger.disk.files, versions.folder / RESULT)
        fresh = seen if seen and seen.version == version else Outcome(version)
        verdict = judge(fresh, self._limits)
        if verdict is None:
            versions.disk.point(versions.folder / TRIAL, version)
            return False
        if not verdict.good:
            self._end("refused", verdict.why)
            return True
        ledger.save(states.moved(ledger.state, MODELS, "switching", ledger.now_s))
        return True

    def _switch(self, pending: Pending) -> bool:
        ledger, versions = self._ledger, self.versions
        if wrong := versions.torn(pending.target.version):
            self._end("refused", wrong)
            return True
        versions.choose(pending.target.version)
        versions.disk.drop(versions.folder / TRIAL)
        ledger.save(states.moved(ledger.state, MODELS, "written", ledger.now_s))
        return True

    def _watched(self, pending: Pending) -> bool:
        ledger = self._ledger
        verdict = self._proof(MODELS, None)
        if verdict.why.startswith(states.UNSURE):  # the reader is stopped, or its camera: that says nothing of models
            return False
        if not verdict.good:
            ledger.save(states.returning(ledger.state, MODELS, verdict.why))
            return True
        if pending.slices + 1 < self.watch:
            ledger.save(states.watched(ledger.state, MODELS))
            return False
        state = states.switched(ledger.state, MODELS, pending.before)
        ledger.save(states.ended(state, MODELS, "good", "", ledger.now_s))
        return True

    def _return(self, pending: Pending) -> bool:
        """The way back: to the set before, or the shipped one where that is whole no more."""
        before = pending.before
        if self.versions.current() != before:
            self.versions.choose("" if before and self.versions.torn(before) else before)
        if self._ledger.state.previous.get(MODELS) == before:
            self._ledger.save(states.switched(self._ledger.state, MODELS, ""))
        self._end("back", pending.why)
        return True

    def _end(self, ending: states.Ending, why: str) -> None:
        ledger, versions = self._ledger, self.versions
        versions.disk.drop(versions.folder / TRIAL)
        ledger.save(states.ended(ledger.state, MODELS, ending, why, ledger.now_s))

    def _mend(self, current: str, pending: Pending | None) -> None:
        why = f"{states.DAMAGED}{self.versions.torn(current)}"
        ledger = self._ledger
        before = pending.before if pending and pending.target.version == current else ""
        before = before or ledger.state.previous.get(MODELS, "")
        self.versions.choose("" if before == current or (before and self.versions.torn(before)) else before)
        if pending and pending.target.version == current:
            self._end("back", why)
